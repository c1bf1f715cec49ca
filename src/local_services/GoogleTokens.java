import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Set;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.UnsupportedCallbackException;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerToken;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallback;

/**
 * What Google's managed Kafka asks of a token, for a broker of this machine: its three parts, its
 * claims and, in place of Google's own check of the access token, how that begins.
 *
 * <p>The option {@code token} of the listener's JAAS entry is that beginning. A token holds until
 * its {@code exp}: with {@code connections.max.reauth.ms} the broker ends a connection that has not
 * brought another one by then.
 */
public final class GoogleTokens implements AuthenticateCallbackHandler {
    private static final ObjectMapper JSON = new ObjectMapper();
    private String beginning;

    @Override
    public void configure(
            Map<String, ?> configs, String mechanism, List<AppConfigurationEntry> entries) {
        beginning = (String) entries.get(0).getOptions().get("token");
    }

    @Override
    public void handle(Callback[] callbacks) throws IOException, UnsupportedCallbackException {
        for (Callback callback : callbacks) {
            if (!(callback instanceof OAuthBearerValidatorCallback validator)) {
                throw new UnsupportedCallbackException(callback);
            }
            try {
                validator.token(checked(validator.tokenValue()));
            } catch (IOException | IllegalArgumentException error) {
                validator.error("invalid_token", "kafka", null);
            }
        }
    }

    private OAuthBearerToken checked(String value) throws IOException {
        String[] parts = value.split("\\.", -1);
        require(parts.length == 3, "three parts");
        JsonNode header = JSON.readTree(decoded(parts[0]));
        JsonNode claims = JSON.readTree(decoded(parts[1]));
        require("JWT".equals(header.path("typ").asText()), "typ");
        require("GOOG_OAUTH2_TOKEN".equals(header.path("alg").asText()), "alg");
        String principal = claims.path("sub").asText();
        require(principal.contains("@"), "sub");
        require("kafka".equals(claims.path("scope").asText()), "scope");
        long issued = (long) (claims.path("iat").asDouble() * 1000);
        long until = (long) (claims.path("exp").asDouble() * 1000);
        require(issued <= System.currentTimeMillis() + 60_000, "iat");
        require(until > System.currentTimeMillis(), "exp");
        require(decoded(parts[2]).startsWith(beginning), "access token");
        return new Token(value, Set.of("kafka"), until, principal, issued);
    }

    private static String decoded(String part) {
        return new String(Base64.getUrlDecoder().decode(part), StandardCharsets.UTF_8);
    }

    private static void require(boolean holds, String what) {
        if (!holds) {
            throw new IllegalArgumentException(what);
        }
    }

    private record Token(
            String value, Set<String> scope, long lifetimeMs, String principalName, Long startTimeMs)
            implements OAuthBearerToken {
    }

    @Override
    public void close() {
    }
}
