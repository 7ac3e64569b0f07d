import java.io.BufferedReader;
import java.io.InputStreamReader;

/** Prints the feature version of this Java; then, for each line, the bits of a double in hex, its Double.toString. */
public class DoubleOracle {
    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        StringBuilder out = new StringBuilder().append(Runtime.version().feature()).append('\n');
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            out.append(Double.longBitsToDouble(Long.parseUnsignedLong(line, 16))).append('\n');
        }
        System.out.print(out);
    }
}
