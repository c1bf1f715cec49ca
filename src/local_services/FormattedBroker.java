import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.common.Uuid;

/**
 * Runs a broker, on a folder that it formats when it is new: {@code java FormattedBroker PROPERTIES META}.
 *
 * <p>META is the file that a formatted folder has. In one virtual machine, because to start another one
 * takes as long as half of the broker's own start.
 */
public final class FormattedBroker {
    private FormattedBroker() {}

    public static void main(String[] arguments) throws Exception {
        String properties = arguments[0];
        if (!Files.exists(Path.of(arguments[1]))) {
            String cluster = Uuid.randomUuid().toString();
            String[] format = {"format", "--cluster-id", cluster, "-c", properties};
            int status = kafka.tools.StorageTool.execute(format, System.out);
            if (status != 0) {
                System.exit(status);
            }
        }
        kafka.Kafka.main(new String[] {properties});
    }
}
