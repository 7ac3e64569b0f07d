import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * One idempotent acks=all producer and one consumer in a group, with exact accounts.
 *
 * <p>Each message carries its partition, its number in that partition and the time it was sent. The argument is
 * {"bootstrap", "topic", "partitions", "rate", "group", "configs"}. Writes {"event":"progress", …} each second; on
 * {"op":"stop"} it stops sending, waits for all acknowledgements, reads to the end and writes {"event":"report", …}.
 */
public final class Workload {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final long DRAIN_TIMEOUT_MS = 120_000;
    private static final int ERRORS_KEPT_MAX = 5;

    /** What is known about one partition; guarded by its own monitor. */
    private static final class Account {
        long sent;
        final BitSet acked = new BitSet();
        final BitSet received = new BitSet();
        long highest = -1;
    }

    private final String topic;
    private final int rate;
    private final Account[] accounts;
    private final KafkaProducer<byte[], byte[]> producer;
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final Map<TopicPartition, Long> positions = new HashMap<>();
    private final List<String> errors = new ArrayList<>();
    private volatile boolean sending = true;
    private volatile boolean producerDone;
    private volatile boolean drained;
    private long failed;
    private long duplicated;
    private long outOfOrder;
    private long longestAckMs;
    private long longestReceiveMs;
    private volatile long lastAckNanos = System.nanoTime();

    private Workload(JsonNode settings) {
        topic = settings.get("topic").asText();
        rate = settings.get("rate").asInt();
        accounts = new Account[settings.get("partitions").asInt()];
        for (int i = 0; i < accounts.length; i++) {
            accounts[i] = new Account();
        }
        Properties common = new Properties();
        common.put("bootstrap.servers", settings.get("bootstrap").asText());
        common.put("request.timeout.ms", "10000");
        common.put("retry.backoff.ms", "50");
        common.put("reconnect.backoff.max.ms", "500");
        common.put("metadata.max.age.ms", "5000");
        if (settings.has("configs")) {
            settings.get("configs").fields().forEachRemaining(e -> common.put(e.getKey(), e.getValue().asText()));
        }
        Properties sending = new Properties();
        sending.putAll(common);
        sending.put("enable.idempotence", "true");
        sending.put("acks", "all");
        sending.put("delivery.timeout.ms", "300000");
        sending.put("max.block.ms", "300000");
        sending.put("linger.ms", "2");
        producer = new KafkaProducer<>(sending, new ByteArraySerializer(), new ByteArraySerializer());
        Properties receiving = new Properties();
        receiving.putAll(common);
        receiving.put("group.id", settings.get("group").asText());
        receiving.put("auto.offset.reset", "earliest");
        receiving.put("enable.auto.commit", "false");
        receiving.put("default.api.timeout.ms", "60000");
        consumer = new KafkaConsumer<>(receiving, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    public static void main(String[] args) throws Exception {
        Workload workload = new Workload(JSON.readTree(args[0]));
        Thread send = new Thread(workload::send, "send");
        Thread receive = new Thread(workload::receive, "receive");
        Thread report = new Thread(workload::reportProgress, "progress");
        report.setDaemon(true);
        send.start();
        receive.start();
        report.start();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        in.readLine(); // "stop", or the end of stdin: the lab has gone
        workload.sending = false;
        send.join();
        receive.join();
        workload.print("report");
        System.exit(0);
    }

    private void send() {
        long interval = TimeUnit.SECONDS.toNanos(1) / rate;
        long next = System.nanoTime();
        for (int i = 0; sending; i = (i + 1) % accounts.length) {
            sendOne(i);
            next = Math.max(next + interval, System.nanoTime() - TimeUnit.SECONDS.toNanos(1));
            LockSupport.parkNanos(next - System.nanoTime());
        }
        producer.flush();
        producer.close(Duration.ofSeconds(60));
        producerDone = true;
    }

    private void sendOne(int partition) {
        Account account = accounts[partition];
        long number;
        synchronized (account) {
            number = account.sent++;
        }
        long begun = System.nanoTime();
        byte[] value = ByteBuffer.allocate(20).putInt(partition).putLong(number).putLong(begun).array();
        try {
            producer.send(new ProducerRecord<>(topic, partition, null, value), (metadata, error) -> {
                if (error != null) {
                    fail(error);
                    return;
                }
                lastAckNanos = System.nanoTime();
                synchronized (account) {
                    account.acked.set((int) number);
                }
                synchronized (this) {
                    longestAckMs = Math.max(longestAckMs, (lastAckNanos - begun) / 1_000_000);
                }
            });
        } catch (RuntimeException error) {
            fail(error);
        }
    }

    private synchronized void fail(Exception error) {
        failed++;
        if (errors.size() < ERRORS_KEPT_MAX) {
            errors.add(error.toString());
        }
    }

    /** Positions are kept here and not taken from the committed offsets, so a rebalance delivers nothing twice. */
    private void receive() {
        consumer.subscribe(List.of(topic), new ConsumerRebalanceListener() {
            @Override
            public void onPartitionsRevoked(Collection<TopicPartition> partitions) { }

            @Override
            public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                partitions.forEach(tp -> {
                    if (positions.containsKey(tp)) {
                        consumer.seek(tp, positions.get(tp));
                    }
                });
            }
        });
        long commitNanos = System.nanoTime();
        while (!producerDone) {
            poll();
            if (System.nanoTime() - commitNanos > TimeUnit.SECONDS.toNanos(1)) {
                consumer.commitAsync();
                commitNanos = System.nanoTime();
            }
        }
        drain();
        consumer.close(Duration.ofSeconds(10));
    }

    private void poll() {
        for (ConsumerRecord<byte[], byte[]> message : consumer.poll(Duration.ofMillis(100))) {
            positions.put(new TopicPartition(message.topic(), message.partition()), message.offset() + 1);
            ByteBuffer value = ByteBuffer.wrap(message.value());
            Account account = accounts[value.getInt()];
            long number = value.getLong();
            long waitedMs = (System.nanoTime() - value.getLong()) / 1_000_000;
            synchronized (account) {
                if (account.received.get((int) number)) {
                    duplicated++;
                } else if (number < account.highest) {
                    outOfOrder++;
                }
                account.received.set((int) number);
                account.highest = Math.max(account.highest, number);
            }
            longestReceiveMs = Math.max(longestReceiveMs, waitedMs);
        }
    }

    private void drain() {
        long deadline = System.currentTimeMillis() + DRAIN_TIMEOUT_MS;
        List<TopicPartition> all = new ArrayList<>();
        for (int i = 0; i < accounts.length; i++) {
            all.add(new TopicPartition(topic, i));
        }
        while (!drained && System.currentTimeMillis() < deadline) {
            try {
                Map<TopicPartition, Long> ends = consumer.endOffsets(all, Duration.ofSeconds(20));
                drained = all.stream().allMatch(tp -> positions.getOrDefault(tp, 0L) >= ends.get(tp));
            } catch (org.apache.kafka.common.errors.RetriableException again) {
                drained = false;
            }
            if (!drained) {
                poll();
            }
        }
    }

    private void reportProgress() {
        while (true) {
            LockSupport.parkNanos(TimeUnit.SECONDS.toNanos(1));
            print("progress");
        }
    }

    private void print(String event) {
        long sent = 0;
        long acked = 0;
        long received = 0;
        long lost = 0;
        for (Account account : accounts) {
            synchronized (account) {
                sent += account.sent;
                acked += account.acked.cardinality();
                received += account.received.cardinality();
                BitSet missing = (BitSet) account.acked.clone();
                missing.andNot(account.received);
                lost += missing.cardinality();
            }
        }
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("event", event);
        line.put("sent", sent);
        line.put("acked", acked);
        line.put("received", received);
        synchronized (this) {
            line.put("failed", failed);
            line.put("duplicated", duplicated);
            line.put("out_of_order", outOfOrder);
            line.put("longest_stall_ms", longestAckMs);
            line.put("longest_receive_ms", longestReceiveMs);
        }
        if (event.equals("report")) {
            line.put("lost", lost);
            line.put("drained", drained);
            line.put("errors", errors);
        } else {
            line.put("in_flight", sent - acked);
            line.put("last_ack_ms", (System.nanoTime() - lastAckNanos) / 1_000_000);
        }
        try {
            synchronized (System.out) {
                System.out.println(JSON.writeValueAsString(line));
                System.out.flush();
            }
        } catch (com.fasterxml.jackson.core.JsonProcessingException error) {
            throw new IllegalStateException(error);
        }
    }
}
