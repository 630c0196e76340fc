import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.plugins.Plugin;

/**
 * Runs one OpenSearch node from the jars on the class path.
 *
 * Arguments: a home directory, an HTTP port, and optionally a directory of leases. A lease is a file whose name is the id of
 * a process that uses the node; once no lease's process has lived for a minute, the node ends itself.
 */
public final class Launcher extends Node {
    private static final Duration IDLE_MAX = Duration.ofSeconds(60);

    private static final String[] PLUGINS = {
        "org.opensearch.transport.Netty4Plugin",
        "org.opensearch.analysis.common.CommonAnalysisPlugin",
        "org.opensearch.painless.PainlessPlugin",
        "org.opensearch.index.mapper.MapperExtrasPlugin",
        "org.opensearch.index.reindex.ReindexPlugin",
    };

    private Launcher(Environment environment, Collection<Class<? extends Plugin>> plugins) {
        super(environment, plugins, false);
    }

    public static void main(String[] arguments) throws Exception {
        Path home = Path.of(arguments[0]).toAbsolutePath();
        Files.createDirectories(home.resolve("config"));
        Settings settings = Settings.builder()
            .put("path.home", home)
            .put("path.data", home.resolve("data"))
            .put("path.logs", home.resolve("logs"))
            .put("cluster.name", "readside")
            .put("node.name", "node")
            .put("discovery.type", "single-node")
            .put("network.host", "127.0.0.1")
            .put("http.port", arguments[1])
            .put("transport.port", "0")
            .put("transport.type", "netty4")
            .put("http.type", "netty4")
            .put("node.processors", Runtime.getRuntime().availableProcessors())
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .put("cluster.max_shards_per_node", 10000)
            .build();
        List<Class<? extends Plugin>> plugins = new ArrayList<>();
        for (String name : PLUGINS) {
            plugins.add(Class.forName(name).asSubclass(Plugin.class));
        }
        Node node = new Launcher(
            InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "node"), plugins);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (Exception error) {
                error.printStackTrace();
            }
        }));
        node.start();
        if (arguments.length > 2) {
            endWhenUnused(new File(arguments[2]));
        } else {
            Thread.currentThread().join();
        }
    }

    private static void endWhenUnused(File leases) throws InterruptedException {
        Instant used = Instant.now();
        while (Duration.between(used, Instant.now()).compareTo(IDLE_MAX) < 0) {
            Thread.sleep(1000);
            String[] names = leases.list();
            for (String name : names == null ? new String[0] : names) {
                if (ProcessHandle.of(Long.parseLong(name)).map(ProcessHandle::isAlive).orElse(false)) {
                    used = Instant.now();
                } else {
                    new File(leases, name).delete();
                }
            }
        }
        System.exit(0);
    }
}
