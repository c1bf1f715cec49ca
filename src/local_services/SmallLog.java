import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;

/**
 * Runs a program whose output stays small: {@code java SmallLog BYTES KEPT CLASS ARGUMENTS...}.
 *
 * <p>What the program prints goes to the file SPOTIFY_MLOPS_LOG. When that is full it becomes .1, the
 * one before .2, and so on to KEPT, as in logs.py. What the virtual machine itself prints, as it ends
 * by a failure of its own, goes where the output went at the start.
 */
public final class SmallLog extends OutputStream {
    private final Path log;
    private final long bytes;
    private final int kept;
    private OutputStream file;
    private long written;

    private SmallLog(Path log, long bytes, int kept) throws IOException {
        this.log = log;
        this.bytes = bytes;
        this.kept = kept;
        open();
    }

    @Override
    public synchronized void write(byte[] part, int offset, int length) throws IOException {
        if (written >= bytes) {
            startAnew();
        }
        file.write(part, offset, length);
        written += length;
    }

    @Override
    public void write(int single) throws IOException {
        write(new byte[] {(byte) single}, 0, 1);
    }

    private void startAnew() {
        OutputStream full = file;
        try {
            for (int number = kept; number > 0; number--) {
                Path newer = number == 1 ? log : aside(number - 1);
                if (Files.exists(newer)) {
                    Files.move(newer, aside(number), StandardCopyOption.REPLACE_EXISTING);
                }
            }
            open();
            full.close();
        } catch (IOException error) { // no room for a new file: the full one goes on
            written = 0;
        }
    }

    private Path aside(int number) {
        return log.resolveSibling(log.getFileName() + "." + number);
    }

    private void open() throws IOException {
        file = Files.newOutputStream(log, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        written = Files.size(log);
    }

    public static void main(String[] arguments) throws Throwable {
        String log = System.getenv("SPOTIFY_MLOPS_LOG");
        if (log != null) {
            long bytes = Long.parseLong(arguments[0]);
            SmallLog output = new SmallLog(Path.of(log), bytes, Integer.parseInt(arguments[1]));
            System.setOut(new PrintStream(output, true, StandardCharsets.UTF_8));
            System.setErr(new PrintStream(output, true, StandardCharsets.UTF_8));
        }
        String[] rest = Arrays.copyOfRange(arguments, 3, arguments.length);
        try {
            Class.forName(arguments[2]).getMethod("main", String[].class).invoke(null, (Object) rest);
        } catch (InvocationTargetException error) {
            throw error.getCause();
        }
    }
}
