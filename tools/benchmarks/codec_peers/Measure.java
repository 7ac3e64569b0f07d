import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.Constructor;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Locale;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;

/**
 * Measures Kafka's generated classes. A line of stdin is a message: name, class, version and hex, between tabs; the
 * answer is a line of JSON as that of measure.py. Times are those of the fastest batch after a warm-up.
 */
public final class Measure {
    private static final long WARM_UP_NS = 2_000_000_000L;
    private static final long BATCH_NS = 2_000_000L;
    private static final int BATCHES = 200;
    private static Object kept;

    private interface Task {
        Object run() throws Exception;
    }

    private static double fastestUs(Task task) throws Exception {
        long begun = System.nanoTime();
        long calls = 0;
        while (System.nanoTime() - begun < WARM_UP_NS) {
            kept = task.run();
            calls++;
        }
        long count = Math.max(1, calls * BATCH_NS / WARM_UP_NS);
        long best = Long.MAX_VALUE;
        for (int batch = 0; batch < BATCHES; batch++) {
            begun = System.nanoTime();
            for (long call = 0; call < count; call++) {
                kept = task.run();
            }
            best = Math.min(best, System.nanoTime() - begun);
        }
        return best / (double) count / 1000;
    }

    private static byte[] encoded(Message message, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        byte[] bytes = new byte[message.size(cache, version)];
        message.write(new ByteBufferAccessor(ByteBuffer.wrap(bytes)), cache, version);
        return bytes;
    }

    private static Class<?> classOf(String name) throws ClassNotFoundException {
        String place = name.endsWith("Record") ? "org.apache.kafka.common.metadata." : "org.apache.kafka.common.message.";
        return Class.forName(place + name);
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] question = line.split("\t");
            Constructor<?> make = classOf(question[1]).getConstructor();
            short version = Short.parseShort(question[2]);
            byte[] raw = HexFormat.of().parseHex(question[3]);
            Task decode = () -> {
                Message message = (Message) make.newInstance();
                message.read(new ByteBufferAccessor(ByteBuffer.wrap(raw)), version);
                return message;
            };
            Message value = (Message) decode.run();
            if (!Arrays.equals(encoded(value, version), raw)) {
                System.out.println("{\"name\": \"" + question[0] + "\", \"wrong\": \"writes other bytes than it read\"}");
                continue;
            }
            System.out.println(String.format(Locale.ROOT, "{\"name\": \"%s\", \"encode_us\": %.4f, \"decode_us\": %.4f}",
                question[0], fastestUs(() -> encoded(value, version)), fastestUs(decode)));
            System.out.flush();
        }
    }
}
