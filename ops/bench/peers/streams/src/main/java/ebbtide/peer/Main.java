package ebbtide.peer;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.Stores;

/**
 * The program. Options are {@code --name=value}; see README.md. Commands come on stdin, one a line:
 * {@code go}, {@code flush}, {@code sweep DAY}, {@code stop}; answers go to stdout, one JSON object a line. The end
 * of stdin is {@code stop}: the peer does not outlive the harness.
 */
public final class Main {
    private Main() {}

    public static void main(String[] args) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (String arg : args) {
            String[] pair = arg.substring(2).split("=", 2);
            options.put(pair[0], pair[1]);
        }
        Map<String, Integer> periods = new HashMap<>();
        for (String entry : options.get("periods").split(",")) {
            String[] pair = entry.split(":", 2);
            periods.put(pair[0], Integer.valueOf(pair[1]));
        }
        Control control = new Control(Integer.parseInt(options.get("partitions")));
        KafkaStreams streams = new KafkaStreams(topology(options, control, periods), config(options));
        streams.setUncaughtExceptionHandler(error -> {
            say("{\"event\":\"failed\",\"error\":\"" + error.toString().replaceAll("[\"\\\\\\p{Cntrl}]", " ") + "\"}");
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        CountDownLatch running = new CountDownLatch(1);
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.RUNNING && running.getCount() > 0) {
                // Not before: a paused application does not finish the set-up of its tasks. Some records slip
                // through until then; the bench counts from committed offsets behind a warm-up, so it sees them.
                streams.pause();
                running.countDown();
            }
        });
        streams.start();
        running.await();
        while (!control.complete()) {
            Thread.sleep(10);
        }
        say("{\"event\":\"ready\"}");
        Thread reporter = new Thread(() -> report(control), "reporter");
        reporter.setDaemon(true);
        reporter.start();
        obey(streams, control);
        streams.close(Duration.ofSeconds(60));
        say("{\"event\":\"stopped\"}");
    }

    private static Topology topology(Map<String, String> options, Control control, Map<String, Integer> periods) {
        Topology topology = new Topology();
        topology.addSource(
                "lifecycle", new ByteArrayDeserializer(), new ByteArrayDeserializer(), options.get("lifecycle"));
        boolean lookups = Boolean.parseBoolean(options.get("lookups"));
        boolean lastActivity = "last_activity".equals(options.get("clock"));
        topology.addProcessor("ledger", () -> new Ledger(control, periods, lookups, lastActivity), "lifecycle");
        String[] stores = lookups
                ? new String[] {Ledger.RECORDS, Ledger.SUBJECTS, Ledger.DAYS}
                : new String[] {Ledger.RECORDS, Ledger.SUBJECTS};
        for (String store : stores) {
            var builder = Stores.keyValueStoreBuilder(
                    Stores.persistentKeyValueStore(store), Serdes.Bytes(), Serdes.ByteArray());
            topology.addStateStore(builder.withCachingDisabled(), "ledger");
        }
        topology.addSink(
                "erasures", options.get("erasures"), new ByteArraySerializer(), new ByteArraySerializer(), "ledger");
        return topology;
    }

    /** README.md says why each value is what it is. */
    private static Properties config(Map<String, String> options) {
        Properties config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, options.get("application-id"));
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, options.get("bootstrap"));
        config.put(StreamsConfig.STATE_DIR_CONFIG, options.get("state-dir"));
        config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        config.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        config.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        config.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 500);
        config.put(StreamsConfig.POLL_MS_CONFIG, 10);
        config.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 5_000);
        config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0L);
        config.put(StreamsConfig.ROCKSDB_CONFIG_SETTER_CLASS_CONFIG, RocksConfig.class);
        config.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        config.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
        config.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 4 << 20);
        config.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
        config.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 100);
        config.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 128L << 20);
        config.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        config.put(StreamsConfig.producerPrefix(ProducerConfig.TRANSACTION_TIMEOUT_CONFIG), 120_000);
        return config;
    }

    private static void obey(KafkaStreams streams, Control control) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null && !line.equals("stop"); line = in.readLine()) {
            String[] words = line.split(" ");
            switch (words[0]) {
                case "go" -> streams.resume();
                case "flush" -> {
                    control.flushed.clear();
                    control.flush = true;
                    while (!control.allIn(control.flushed)) {
                        Thread.sleep(10);
                    }
                    control.flush = false;
                    say("{\"event\":\"flushed\"}");
                }
                case "sweep" -> {
                    control.sweptTasks.clear();
                    long start = System.nanoTime();
                    long before = control.swept.sum();
                    control.sweepDay = Integer.parseInt(words[1]);
                    while (!control.allIn(control.sweptTasks)) {
                        Thread.sleep(5);
                    }
                    say("{\"event\":\"swept\",\"records\":" + (control.swept.sum() - before) + ",\"ms\":"
                            + (System.nanoTime() - start) / 1_000_000 + "}");
                }
                default -> say("{\"event\":\"failed\",\"error\":\"unknown command\"}");
            }
        }
    }

    private static void report(Control control) {
        long told = -1;
        while (true) {
            long now = control.ingested.sum();
            if (now != told) {
                told = now;
                say("{\"event\":\"ingested\",\"records\":" + now + ",\"skipped\":" + control.skipped.sum() + "}");
            }
            try {
                Thread.sleep(100);
            } catch (InterruptedException e) {
                return;
            }
        }
    }

    private static synchronized void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}
