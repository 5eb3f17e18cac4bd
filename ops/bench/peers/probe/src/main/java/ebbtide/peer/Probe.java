package ebbtide.peer;

import com.sun.tools.attach.VirtualMachine;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.TreeMap;
import javax.management.MBeanServerConnection;
import javax.management.ObjectName;
import javax.management.remote.JMXConnectorFactory;
import javax.management.remote.JMXServiceURL;

/**
 * Reads what a broker counts of itself. {@code Probe PID} attaches to the broker's process, says {@code {}} when it is
 * ready, and answers each line of input with one JSON object of counts since the broker's start:
 *
 * <p>{@code bytes.in}, {@code bytes.out}: record data of all topics, as produced and as fetched, compressed as sent.
 * {@code requests.NAME}: how many requests of that kind, all versions together. {@code ms.NAME}: how long they took on
 * the broker's request threads, in milliseconds, summed.
 */
public final class Probe {
    private static final String TOPICS = "kafka.server:type=BrokerTopicMetrics,name=";

    private Probe() {}

    public static void main(String[] args) throws Exception {
        VirtualMachine machine = VirtualMachine.attach(args[0]);
        String address = machine.startLocalManagementAgent();
        machine.detach();
        try (var connector = JMXConnectorFactory.connect(new JMXServiceURL(address))) {
            MBeanServerConnection broker = connector.getMBeanServerConnection();
            System.out.println("{}");
            BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            while (in.readLine() != null) {
                System.out.println(json(counts(broker)));
            }
        }
    }

    private static Map<String, Double> counts(MBeanServerConnection broker) throws Exception {
        Map<String, Double> found = new TreeMap<>();
        found.put("bytes.in", number(broker, new ObjectName(TOPICS + "BytesInPerSec"), "Count"));
        found.put("bytes.out", number(broker, new ObjectName(TOPICS + "BytesOutPerSec"), "Count"));
        ObjectName all = new ObjectName("kafka.network:type=RequestMetrics,name=RequestsPerSec,*");
        for (ObjectName name : broker.queryNames(all, null)) {
            found.merge("requests." + name.getKeyProperty("request"), number(broker, name, "Count"), Double::sum);
        }
        ObjectName local = new ObjectName("kafka.network:type=RequestMetrics,name=LocalTimeMs,*");
        for (ObjectName name : broker.queryNames(local, null)) {
            double sum = number(broker, name, "Count") * number(broker, name, "Mean");
            found.merge("ms." + name.getKeyProperty("request"), sum, Double::sum);
        }
        found.values().removeIf(count -> count == 0);
        return found;
    }

    private static double number(MBeanServerConnection broker, ObjectName name, String attribute) throws Exception {
        return ((Number) broker.getAttribute(name, attribute)).doubleValue();
    }

    private static String json(Map<String, Double> counts) {
        StringBuilder out = new StringBuilder("{");
        for (var entry : counts.entrySet()) {
            out.append(out.length() > 1 ? "," : "").append('"').append(entry.getKey()).append("\":");
            out.append(String.format(java.util.Locale.ROOT, "%.1f", entry.getValue()));
        }
        return out.append('}').toString();
    }
}
