import eu.rekawek.toxiproxy.Proxy;
import eu.rekawek.toxiproxy.ToxiproxyClient;
import eu.rekawek.toxiproxy.model.Toxic;
import eu.rekawek.toxiproxy.model.ToxicDirection;
import eu.rekawek.toxiproxy.model.toxic.Latency;
import eu.rekawek.toxiproxy.model.toxic.Slicer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/** Tests the reset proxy with the Java client of Toxiproxy, also as the Testcontainers module for Toxiproxy uses it. */
public final class Clients {
    /** Bounds every wait. */
    private static final int TIMEOUT_MS = 20_000;
    /** How long a test waits for a reply that must not come. */
    private static final int QUIET_MS = 200;

    private final String api;
    private final String upstream;

    private Clients(String api, String upstream) {
        this.api = api;
        this.upstream = upstream;
    }

    /** A client of its own for each test, because a client that resets all proxies asks for those that it has deleted too. */
    private ToxiproxyClient client() {
        int colon = api.lastIndexOf(':');
        return new ToxiproxyClient(api.substring(0, colon), Integer.parseInt(api.substring(colon + 1)));
    }

    interface Test {
        void run() throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        Clients clients = new Clients(System.getenv("PAYLAB_API"), echo());
        Map<String, Test> tests = new LinkedHashMap<>();
        tests.put("a proxy is created, used and deleted", clients::aProxyIsCreatedUsedAndDeleted);
        tests.put("every toxic is added, shown, changed and removed", clients::everyToxicIsAddedShownChangedAndRemoved);
        tests.put("a toxic takes effect until it is removed", clients::aToxicTakesEffectUntilItIsRemoved);
        tests.put("a connection is cut as by Testcontainers", clients::aConnectionIsCutAsByTestcontainers);
        int failed = 0;
        for (Map.Entry<String, Test> test : tests.entrySet()) {
            try {
                test.getValue().run();
                System.out.println("ok: " + test.getKey());
            } catch (Exception | AssertionError failure) {
                failed += 1;
                System.out.println("failed: " + test.getKey());
                failure.printStackTrace(System.out);
            }
        }
        System.out.println((tests.size() - failed) + " passed, " + failed + " failed");
        System.exit(failed == 0 ? 0 : 1);
    }

    private void aProxyIsCreatedUsedAndDeleted() throws IOException {
        ToxiproxyClient client = client();
        expect(true, client.version().contains("2.5.0"));
        Proxy proxy = client.createProxy("java", "127.0.0.1:0", upstream);
        expect("ping", talk(proxy, TIMEOUT_MS));
        expect("[409] proxy already exists", message(() -> client.createProxy("java", "127.0.0.1:0", upstream)));
        proxy.disable();
        expect(false, client.getProxy("java").isEnabled());
        expect("refused", talk(proxy, TIMEOUT_MS));
        proxy.enable();
        expect("ping", talk(proxy, TIMEOUT_MS));
        proxy.setUpstream("127.0.0.1:1");
        expect("127.0.0.1:1", client.getProxy("java").getUpstream());
        expect(true, client.getProxies().stream().anyMatch(each -> each.getName().equals("java")));
        proxy.delete();
        expect(null, client.getProxyOrNull("java"));
    }

    private void everyToxicIsAddedShownChangedAndRemoved() throws IOException {
        Proxy proxy = client().createProxy("java-toxic", "127.0.0.1:0", upstream);
        for (ToxicDirection direction : ToxicDirection.values()) {
            proxy.toxics().bandwidth(direction + "-bandwidth", direction, 1);
            proxy.toxics().latency(direction + "-latency", direction, 2);
            proxy.toxics().slicer(direction + "-slicer", direction, 3, 4);
            proxy.toxics().slowClose(direction + "-slow-close", direction, 5);
            proxy.toxics().timeout(direction + "-timeout", direction, 6);
            proxy.toxics().limitData(direction + "-limit-data", direction, 7);
            proxy.toxics().resetPeer(direction + "-reset-peer", direction, 8);
        }
        List<? extends Toxic> toxics = proxy.toxics().getAll();
        expect(14, toxics.size());
        expect(ToxicDirection.UPSTREAM, toxics.get(0).getStream());
        Slicer slicer = proxy.toxics().get("UPSTREAM-slicer", Slicer.class);
        expect(List.of(3L, 0L, 4L), List.of(slicer.getAverageSize(), slicer.getSizeVariation(), slicer.getDelay()));
        Latency latency = proxy.toxics().get("DOWNSTREAM-latency", Latency.class);
        latency.setJitter(9).setToxicity(0.5f);
        latency = proxy.toxics().get("DOWNSTREAM-latency", Latency.class);
        expect(List.of(2L, 9L, 0.5f), List.of(latency.getLatency(), latency.getJitter(), latency.getToxicity()));
        for (Toxic toxic : toxics) {
            toxic.remove();
        }
        expect(0, proxy.toxics().getAll().size());
        proxy.delete();
    }

    private void aToxicTakesEffectUntilItIsRemoved() throws IOException {
        ToxiproxyClient client = client();
        Proxy proxy = client.createProxy("java-effect", "127.0.0.1:0", upstream);
        Latency latency = proxy.toxics().latency("slow", ToxicDirection.DOWNSTREAM, 300);
        long began = System.nanoTime();
        expect("ping", talk(proxy, TIMEOUT_MS));
        expect(true, System.nanoTime() - began >= 300_000_000L);
        latency.remove();
        proxy.toxics().resetPeer("reset", ToxicDirection.UPSTREAM, 0);
        expect("reset", talk(proxy, TIMEOUT_MS));
        client.reset();
        expect("ping", talk(proxy, TIMEOUT_MS));
        proxy.delete();
    }

    /** The name of a proxy is its upstream, and both streams lose their bandwidth. */
    private void aConnectionIsCutAsByTestcontainers() throws IOException {
        Proxy proxy = client().createProxy(upstream, "0.0.0.0:0", upstream);
        expect("ping", talk(proxy, TIMEOUT_MS));
        proxy.toxics().bandwidth("CUT_CONNECTION_DOWNSTREAM", ToxicDirection.DOWNSTREAM, 0);
        proxy.toxics().bandwidth("CUT_CONNECTION_UPSTREAM", ToxicDirection.UPSTREAM, 0);
        expect("silence", talk(proxy, QUIET_MS));
        proxy.toxics().get("CUT_CONNECTION_DOWNSTREAM").remove();
        proxy.toxics().get("CUT_CONNECTION_UPSTREAM").remove();
        expect("ping", talk(proxy, TIMEOUT_MS));
        proxy.delete();
    }

    /** Starts a service that sends back what it receives, and returns its address. */
    private static String echo() throws IOException {
        ServerSocket listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        Thread accepting = new Thread(() -> {
            while (true) {
                try {
                    Socket connection = listener.accept();
                    Thread serving = new Thread(() -> sendBack(connection));
                    serving.setDaemon(true);
                    serving.start();
                } catch (IOException failure) {
                    return;
                }
            }
        });
        accepting.setDaemon(true);
        accepting.start();
        return "127.0.0.1:" + listener.getLocalPort();
    }

    private static void sendBack(Socket connection) {
        try (connection) {
            connection.getInputStream().transferTo(connection.getOutputStream());
        } catch (IOException failure) {
            // Some of the tests reset the connection.
        }
    }

    /** Sends a word through a proxy, and returns the reply or what came instead. */
    private static String talk(Proxy proxy, int timeoutMs) throws IOException {
        int port = Integer.parseInt(proxy.getListen().substring(proxy.getListen().lastIndexOf(':') + 1));
        try (Socket socket = new Socket("127.0.0.1", port)) {
            socket.setSoTimeout(timeoutMs);
            socket.getOutputStream().write("ping".getBytes(StandardCharsets.UTF_8));
            byte[] word = socket.getInputStream().readNBytes(4);
            return word.length == 0 ? "end" : new String(word, StandardCharsets.UTF_8);
        } catch (SocketTimeoutException failure) {
            return "silence";
        } catch (SocketException failure) {
            return failure.getMessage().contains("refused") ? "refused" : "reset";
        }
    }

    private static String message(Test test) {
        try {
            test.run();
            return "no error";
        } catch (Exception failure) {
            return failure.getMessage();
        }
    }

    private static void expect(Object expected, Object seen) {
        if (!Objects.equals(expected, seen)) {
            throw new AssertionError("expected " + expected + ", not " + seen);
        }
    }
}
