import java.security.GeneralSecurityException;
import java.util.List;
import java.util.Map;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.NameCallback;
import javax.security.auth.callback.UnsupportedCallbackException;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.scram.ScramCredential;
import org.apache.kafka.common.security.scram.ScramCredentialCallback;
import org.apache.kafka.common.security.scram.internals.ScramFormatter;
import org.apache.kafka.common.security.scram.internals.ScramMechanism;

/**
 * Kafka's SCRAM credentials from the listener's own JAAS entry: one user, the owner.
 *
 * <p>The broker's own are records of its metadata log: they would have to be there before the first
 * connection, also in a folder of an older version, and to follow the secret when it changes.
 */
public final class OwnerCredentials implements AuthenticateCallbackHandler {
    private static final int ITERATIONS = 4096;
    private String user;
    private ScramCredential credential;

    @Override
    public void configure(
            Map<String, ?> configs, String mechanism, List<AppConfigurationEntry> entries) {
        Map<String, ?> options = entries.get(0).getOptions();
        user = (String) options.get("username");
        try {
            credential = new ScramFormatter(ScramMechanism.forMechanismName(mechanism))
                .generateCredential((String) options.get("password"), ITERATIONS);
        } catch (GeneralSecurityException error) {
            throw new KafkaException(error);
        }
    }

    @Override
    public void handle(Callback[] callbacks) throws UnsupportedCallbackException {
        String asked = null;
        for (Callback callback : callbacks) {
            if (callback instanceof NameCallback name) {
                asked = name.getDefaultName();
            } else if (callback instanceof ScramCredentialCallback scram) {
                scram.scramCredential(user.equals(asked) ? credential : null);
            } else {
                throw new UnsupportedCallbackException(callback);
            }
        }
    }

    @Override
    public void close() {
    }
}
