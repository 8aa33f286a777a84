import com.github.dockerjava.api.command.InspectContainerResponse;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.testcontainers.containers.ToxiproxyContainer;
import org.testcontainers.utility.DockerImageName;

/**
 * Tests the entry point of the image in place of Toxiproxy's image, with the module of Testcontainers for Toxiproxy. There is no Docker:
 * the entry point is a process of this machine, and all ports are mapped to themselves.
 */
public final class Testcontainers {
    private static final Duration STARTUP_TIMEOUT = Duration.ofSeconds(30);
    private static final int TIMEOUT_MS = 20_000;
    /** How long the test waits for a reply that must not come. */
    private static final int QUIET_MS = 200;

    /** A container without Docker. */
    private static final class Here extends ToxiproxyContainer {
        private final Process process;

        Here() throws IOException {
            super(DockerImageName.parse("paylab").asCompatibleSubstituteFor("ghcr.io/shopify/toxiproxy"));
            // The module gives the container no command, so it has the image's.
            expect(0, getCommandParts().length);
            ProcessBuilder builder = new ProcessBuilder(System.getenv("PAYLAB_BINARY"), "-host=0.0.0.0");
            process = builder.inheritIO().start();
        }

        @Override
        public String getHost() {
            return "127.0.0.1";
        }

        @Override
        public Integer getMappedPort(int port) {
            expect(true, getExposedPorts().contains(port));
            return port;
        }

        @Override
        public boolean isRunning() {
            return process.isAlive();
        }

        @Override
        public InspectContainerResponse getContainerInfo() {
            return new InspectContainerResponse();
        }

        /** Waits as the module does, and lets it use the container. */
        void await() {
            withStartupTimeout(STARTUP_TIMEOUT);
            waitUntilContainerStarted();
            containerIsStarted(getContainerInfo());
        }

        void end() throws InterruptedException {
            process.destroy();
            expect(true, process.waitFor(TIMEOUT_MS, TimeUnit.MILLISECONDS));
        }
    }

    public static void main(String[] arguments) throws Exception {
        try (ServerSocket echo = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
            Here container = new Here();
            try {
                container.await();
                cutsAndRestores(container, echo);
            } finally {
                container.end();
            }
        }
        System.out.println("1 passed, 0 failed");
    }

    @SuppressWarnings("deprecation")
    private static void cutsAndRestores(Here container, ServerSocket echo) throws IOException {
        ToxiproxyContainer.ContainerProxy proxy = container.getProxy("127.0.0.1", echo.getLocalPort());
        expect(8666, proxy.getProxyPort());
        expect("ping", talk(proxy.getProxyPort(), echo, TIMEOUT_MS));
        proxy.setConnectionCut(true);
        expect("silence", talk(proxy.getProxyPort(), echo, QUIET_MS));
        proxy.setConnectionCut(false);
        expect("ping", talk(proxy.getProxyPort(), echo, TIMEOUT_MS));
        expect(8667, container.getProxy("localhost", echo.getLocalPort()).getProxyPort());
    }

    /** Sends a word through a proxy, from where it goes to the service, and returns what arrives there. */
    private static String talk(int port, ServerSocket service, int timeoutMs) throws IOException {
        service.setSoTimeout(TIMEOUT_MS);
        try (Socket client = new Socket("127.0.0.1", port);
                Socket served = service.accept()) {
            client.getOutputStream().write("ping".getBytes(StandardCharsets.UTF_8));
            served.setSoTimeout(timeoutMs);
            return new String(served.getInputStream().readNBytes(4), StandardCharsets.UTF_8);
        } catch (SocketTimeoutException failure) {
            return "silence";
        }
    }

    private static void expect(Object expected, Object seen) {
        if (!Objects.equals(expected, seen)) {
            throw new AssertionError("expected " + expected + ", not " + seen);
        }
    }
}
