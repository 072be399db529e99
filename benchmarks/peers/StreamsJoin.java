import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.Arrays;
import java.util.Properties;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** With Kafka Streams: one thread, RocksDB state and a changelog. What is held for a parent lies in one row, the
 *  messages as they came, each with its length before it. */
public class StreamsJoin implements Processor<String, byte[], String, byte[]> {
    private static final byte[] RESULT = "{\"type\":\"syncline.result.v1\"".getBytes(StandardCharsets.UTF_8);
    private static final ObjectMapper JSON = new ObjectMapper();
    private static boolean begun = false;

    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<String, byte[]> synced;
    private KeyValueStore<String, byte[]> held;

    public static void main(String[] args) {
        Properties options = new Properties();
        options.put("application.id", args[2] + "-group");
        options.put("bootstrap.servers", args[0]);
        options.put("auto.offset.reset", "earliest");
        options.put("state.dir", args[3]);
        options.put("num.stream.threads", "1");
        options.put("commit.interval.ms", "1000");
        options.put("producer.acks", "all");
        options.put("producer.linger.ms", "5");
        options.put("replication.factor", "1");
        Topology topology = new Topology();
        topology.addSource("source", new StringDeserializer(), new ByteArrayDeserializer(), args[1]);
        topology.addProcessor("join", StreamsJoin::new, "source");
        for (String store : new String[] {"synced", "held"}) {
            topology.addStateStore(
                Stores.keyValueStoreBuilder(
                    Stores.persistentKeyValueStore(store), Serdes.String(), Serdes.ByteArray()).withCachingDisabled(),
                "join");
        }
        topology.addSink("sink", args[2], new StringSerializer(), new ByteArraySerializer(), "join");
        KafkaStreams streams = new KafkaStreams(topology, options);
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
        this.context = context;
        synced = context.getStateStore("synced");
        held = context.getStateStore("held");
    }

    @Override
    public void process(Record<String, byte[]> record) {
        if (!begun) {
            begun = true;
            System.out.println("{\"event\": \"serving\", \"timestamp\": \"" + Instant.now() + "\"}");
        }
        try {
            join(record);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private void join(Record<String, byte[]> record) throws IOException {
        String key = record.key();
        byte[] value = record.value();
        if (Arrays.mismatch(value, RESULT) == RESULT.length) {
            String id = JSON.readTree(value).get("target").asText().split("/", 3)[2];
            synced.put(key, id.getBytes(StandardCharsets.UTF_8));
            byte[] waiting = held.delete(key);
            if (waiting != null) {
                ByteBuffer rows = ByteBuffer.wrap(waiting);
                while (rows.hasRemaining()) {
                    byte[] row = new byte[rows.getInt()];
                    rows.get(row);
                    context.forward(record.withValue(filled(row, head(row), id)));
                }
            }
            return;
        }
        JsonNode waits = head(value);
        if (waits == null) {
            context.forward(record.withValue(Arrays.copyOfRange(value, end(value) + 1, value.length)));
            return;
        }
        byte[] id = synced.get(key);
        if (id != null) {
            context.forward(record.withValue(filled(value, waits, new String(id, StandardCharsets.UTF_8))));
            return;
        }
        byte[] before = held.get(key);
        int length = before == null ? 0 : before.length;
        ByteBuffer row = ByteBuffer.allocate(length + 4 + value.length);
        if (before != null) {
            row.put(before);
        }
        held.put(key, row.putInt(value.length).put(value).array());
    }

    private static int end(byte[] value) {
        int at = 0;
        while (value[at] != '\n') {
            at++;
        }
        return at;
    }

    /** What it waits for first, or null. */
    private static JsonNode head(byte[] value) throws IOException {
        return JSON.readTree(value, 0, end(value)).get("waits").get(0);
    }

    private static byte[] filled(byte[] value, JsonNode wait, String id) throws IOException {
        int start = end(value) + 1;
        ByteArrayOutputStream command = new ByteArrayOutputStream(value.length + 64);
        command.write(value, start, value.length - start - 2);
        command.write(',');
        command.write(JSON.writeValueAsBytes(wait.get(2).asText()));
        command.write(':');
        command.write(JSON.writeValueAsBytes(id));
        command.write('}');
        command.write('}');
        return command.toByteArray();
    }
}
