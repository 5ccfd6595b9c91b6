import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.opensearch.analysis.common.CommonAnalysisPlugin;
import org.opensearch.common.settings.Settings;
import org.opensearch.index.reindex.ReindexPlugin;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.transport.Netty4Plugin;

/** One OpenSearch node on the loopback, with the modules that its distribution loads by itself. */
public class Peer extends Node {
    Peer(Settings settings) {
        super(
            InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "peer"),
            List.of(Netty4Plugin.class, CommonAnalysisPlugin.class, ReindexPlugin.class),
            false
        );
    }

    public static void main(String[] args) throws Exception {
        Settings settings = Settings.builder()
            .put("cluster.name", "peer")
            .put("path.home", args[1])
            .put("network.host", "127.0.0.1")
            .put("http.port", args[0])
            .put("transport.port", "0")
            .put("discovery.type", "single-node")
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .build();
        Peer node = new Peer(settings);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (java.io.IOException error) {
                throw new java.io.UncheckedIOException(error);
            }
        }));
        node.start();
        new CountDownLatch(1).await();
    }
}
