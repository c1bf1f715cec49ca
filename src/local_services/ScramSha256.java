import de.bwaldvogel.mongo.bson.BinData;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.exception.MongoServerError;
import io.netty.channel.Channel;
import io.netty.util.AttributeKey;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.util.Base64;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import javax.crypto.Mac;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.PBEKeySpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * Who may use a connection: one user, by SCRAM-SHA-256 (RFC 5802, RFC 7677) in the commands that
 * MongoDB's drivers send it with, {@code saslStart} and {@code saslContinue}.
 */
final class ScramSha256 {
    private static final int ITERATIONS = 4096;
    /** What a driver asks before it says who it is. */
    private static final Set<String> OPEN = Set.of("hello", "ismaster", "ping");
    private static final AttributeKey<Boolean> KNOWN = AttributeKey.valueOf("known");
    /** What both sides sign; a connection has one while it has begun to say who it is. */
    private static final AttributeKey<String> BEGUN = AttributeKey.valueOf("begun");

    private final SecureRandom random = new SecureRandom();
    private final String user;
    private final String salt;
    private final byte[] storedKey;
    private final byte[] serverKey;

    ScramSha256(String user, String password) throws GeneralSecurityException {
        byte[] bytes = new byte[16];
        random.nextBytes(bytes);
        this.user = user;
        salt = Base64.getEncoder().encodeToString(bytes);
        byte[] salted = SecretKeyFactory.getInstance("PBKDF2WithHmacSHA256").generateSecret(
            new PBEKeySpec(password.toCharArray(), bytes, ITERATIONS, 256)).getEncoded();
        storedKey = MessageDigest.getInstance("SHA-256").digest(hmac(salted, "Client Key"));
        serverKey = hmac(salted, "Server Key");
    }

    /** Throws what MongoDB answers to a command of a connection that has not said who it is. */
    void require(Channel channel, String command) {
        if (!channel.hasAttr(KNOWN) && !OPEN.contains(command.toLowerCase(Locale.ROOT))) {
            throw refusal(command);
        }
    }

    static MongoServerError refusal(String command) {
        return new MongoServerError(
            13, "Unauthorized", "command " + command + " requires authentication");
    }

    /** Answers {@code saslStart} and {@code saslContinue}; null for any other command. */
    Document answer(Channel channel, String command, Document query) {
        if (!command.equals("saslStart") && !command.equals("saslContinue")) {
            return null;
        }
        try {
            String message = new String(
                ((BinData) query.get("payload")).getData(), StandardCharsets.UTF_8);
            boolean first = command.equals("saslStart");
            String reply = first ? first(channel, message) : last(channel, message);
            return new Document("conversationId", 1).append("done", !first)
                .append("payload", new BinData(reply.getBytes(StandardCharsets.UTF_8)))
                .append("ok", 1.0);
        } catch (GeneralSecurityException | RuntimeException error) {
            throw new MongoServerError(18, "AuthenticationFailed", "Authentication failed.");
        }
    }

    private String first(Channel channel, String message) {
        String bare = message.substring("n,,".length());
        byte[] bytes = new byte[24];
        random.nextBytes(bytes);
        String reply = "r=" + fields(bare).get("r") + Base64.getEncoder().encodeToString(bytes)
            + ",s=" + salt + ",i=" + ITERATIONS;
        channel.attr(BEGUN).set(bare + "," + reply);
        return reply;
    }

    private String last(Channel channel, String message) throws GeneralSecurityException {
        String begun = channel.attr(BEGUN).getAndSet(null);
        Map<String, String> asked = fields(begun);
        Map<String, String> given = fields(message);
        String signed = begun + "," + message.substring(0, message.lastIndexOf(",p="));
        byte[] clientKey = hmac(storedKey, signed);
        byte[] proof = Base64.getDecoder().decode(given.get("p"));
        for (int i = 0; i < clientKey.length; i++) {
            clientKey[i] ^= proof[i];
        }
        byte[] found = MessageDigest.getInstance("SHA-256").digest(clientKey);
        if (!MessageDigest.isEqual(found, storedKey) || !user.equals(asked.get("n"))
                || !asked.get("r").equals(given.get("r"))) {
            throw new GeneralSecurityException("not the user");
        }
        channel.attr(KNOWN).set(true);
        return "v=" + Base64.getEncoder().encodeToString(hmac(serverKey, signed));
    }

    /** The attributes of a message, such as {@code r=...}; of a repeated one the last. */
    private static Map<String, String> fields(String message) {
        Map<String, String> found = new HashMap<>();
        for (String field : message.split(",")) {
            found.put(field.substring(0, 1), field.substring(2));
        }
        return found;
    }

    private static byte[] hmac(byte[] key, String text) throws GeneralSecurityException {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
    }
}
