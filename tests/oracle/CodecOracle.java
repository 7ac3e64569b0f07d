import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.BinaryNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.Map;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;

/**
 * Answers for Kafka's generated classes: run with a release's jars on the class path, a question a line on stdin.
 *
 * versions CLASS                -> lowest and highest version, or "absent"
 * decode CLASS VERSION HEX      -> the bytes Kafka writes after reading these, and its JSON of them
 * encode CLASS VERSION JSON     -> the bytes Kafka writes for that JSON
 *
 * Fields of questions and answers are separated by tabs; an answer begins with "ok" or "error".
 */
public final class CodecOracle {
    private static final String[] PACKAGES = {
        "org.apache.kafka.common.message.", "org.apache.kafka.common.metadata.", "org.apache.kafka.raft.generated.",
    };
    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final Map<String, Kind> KINDS = new HashMap<>();

    private record Kind(Class<?> type, Method write, Method read) {
        static Kind of(String name) throws Exception {
            for (String place : PACKAGES) {
                try {
                    Class<?> type = Class.forName(place + name);
                    Class<?> converter = Class.forName(place + name + "JsonConverter");
                    return new Kind(type, converter.getMethod("write", type, short.class),
                        converter.getMethod("read", JsonNode.class, short.class));
                } catch (ClassNotFoundException absent) {
                    // The next package may have it.
                }
            }
            return null;
        }

        String versions() throws Exception {
            return type.getField("LOWEST_SUPPORTED_VERSION").get(null) + "\t"
                + type.getField("HIGHEST_SUPPORTED_VERSION").get(null);
        }
    }

    private static String bytesOf(Message message, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(buffer), cache, version);
        return HexFormat.of().formatHex(buffer.array(), 0, buffer.position());
    }

    private static String decode(Kind kind, short version, String hex) throws Exception {
        ByteBuffer buffer = ByteBuffer.wrap(HexFormat.of().parseHex(hex));
        Message message = (Message) kind.type().getConstructor().newInstance();
        message.read(new ByteBufferAccessor(buffer), version);
        if (buffer.hasRemaining()) {
            return "error\t" + buffer.remaining() + " bytes are left over";
        }
        return "ok\t" + bytesOf(message, version) + "\t"
            + MAPPER.writeValueAsString(kind.write().invoke(null, message, version));
    }

    /** Binary nodes in the place of {"binary": base64}, for releases that read bytes from nothing else. */
    private static JsonNode withBinaryNodes(JsonNode node) throws IOException {
        if (node.isObject() && node.size() == 1 && node.has("binary")) {
            return BinaryNode.valueOf(node.get("binary").binaryValue());
        }
        if (node instanceof ObjectNode object) {
            for (Iterator<Map.Entry<String, JsonNode>> fields = object.fields(); fields.hasNext();) {
                Map.Entry<String, JsonNode> field = fields.next();
                field.setValue(withBinaryNodes(field.getValue()));
            }
        } else if (node instanceof ArrayNode array) {
            for (int number = 0; number < array.size(); number++) {
                array.set(number, withBinaryNodes(array.get(number)));
            }
        }
        return node;
    }

    private static String answer(String[] question) throws Exception {
        Kind kind = KINDS.containsKey(question[1]) ? KINDS.get(question[1]) : Kind.of(question[1]);
        KINDS.put(question[1], kind);
        if (kind == null) {
            return "ok\tabsent";
        }
        if (question[0].equals("versions")) {
            return "ok\t" + kind.versions();
        }
        short version = Short.parseShort(question[2]);
        String argument = question.length > 3 ? question[3] : "";
        if (question[0].equals("decode")) {
            return decode(kind, version, argument);
        }
        Object read = kind.read().invoke(null, withBinaryNodes(MAPPER.readTree(argument)), version);
        return "ok\t" + bytesOf((Message) read, version);
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader questions = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream answers = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (String line = questions.readLine(); line != null; line = questions.readLine()) {
            String told;
            try {
                told = answer(line.split("\t", -1));
            } catch (Exception failure) {
                Throwable cause = failure.getCause() == null ? failure : failure.getCause();
                told = "error\t" + cause.toString().replaceAll("\\s+", " ");
            }
            answers.print(told + "\n");
        }
        answers.flush();
    }
}
