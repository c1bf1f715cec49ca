import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import javassist.CannotCompileException;
import javassist.ClassPool;
import javassist.CtClass;
import javassist.expr.ExprEditor;
import javassist.expr.MethodCall;
import org.apache.beam.sdk.fn.server.FnService;
import org.apache.beam.vendor.grpc.v1p69p0.io.grpc.Attributes;
import org.apache.beam.vendor.grpc.v1p69p0.io.grpc.Grpc;
import org.apache.beam.vendor.grpc.v1p69p0.io.grpc.InternalConfigurator;
import org.apache.beam.vendor.grpc.v1p69p0.io.grpc.InternalConfiguratorRegistry;
import org.apache.beam.vendor.grpc.v1p69p0.io.grpc.Metadata;
import org.apache.beam.vendor.grpc.v1p69p0.io.grpc.ServerBuilder;
import org.apache.beam.vendor.grpc.v1p69p0.io.grpc.ServerCall;
import org.apache.beam.vendor.grpc.v1p69p0.io.grpc.ServerCallHandler;
import org.apache.beam.vendor.grpc.v1p69p0.io.grpc.ServerInterceptor;
import org.apache.beam.vendor.grpc.v1p69p0.io.grpc.Status;
import org.apache.beam.vendor.grpc.v1p69p0.io.grpc.netty.NettyServerBuilder;

/**
 * Runs a program whose Beam servers answer its user alone, on loopback: {@code java OwnersServers
 * CLASS ARGUMENTS...}.
 *
 * <p>Beam's own listen on all interfaces and ask nobody who they are: the job server runs what it is
 * sent, and a TaskManager gives its records to whoever says that it is a worker. Whose a connection
 * is says the kernel, as in peers.py; where there is no /proc every local user counts as the owner.
 */
public final class OwnersServers implements ServerInterceptor {
    private static final Path TABLE = Path.of("/proc/net/tcp");
    private static final String SERVERS =
            "org.apache.beam.sdk.fn.server.ServerFactory$InetSocketAddressServerFactory";
    private final int user;

    private OwnersServers(int user) {
        this.user = user;
    }

    /** What Beam's servers call instead of NettyServerBuilder.forPort. */
    public static NettyServerBuilder forPort(int port) {
        return NettyServerBuilder.forAddress(
                new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
    }

    @Override
    public <Q, R> ServerCall.Listener<Q> interceptCall(
            ServerCall<Q, R> call, Metadata headers, ServerCallHandler<Q, R> next) {
        if (isOwner(call.getAttributes())) {
            return next.startCall(call, headers);
        }
        call.close(Status.PERMISSION_DENIED.withDescription("another user's process"), new Metadata());
        return new ServerCall.Listener<Q>() {};
    }

    private boolean isOwner(Attributes attributes) {
        if (!Files.exists(TABLE)) {
            return true;
        }
        SocketAddress client = attributes.get(Grpc.TRANSPORT_ATTR_REMOTE_ADDR);
        SocketAddress server = attributes.get(Grpc.TRANSPORT_ATTR_LOCAL_ADDR);
        if (!(client instanceof InetSocketAddress) || !(server instanceof InetSocketAddress)) {
            return false;
        }
        try {
            // A table that changes while it is read may hide a line once.
            return isOwner((InetSocketAddress) client, (InetSocketAddress) server)
                    || isOwner((InetSocketAddress) client, (InetSocketAddress) server);
        } catch (IOException error) {
            return false;
        }
    }

    private boolean isOwner(InetSocketAddress client, InetSocketAddress server) throws IOException {
        for (boolean mapped : new boolean[] {false, true}) {
            Path table = mapped ? Path.of("/proc/net/tcp6") : TABLE;
            if (!Files.exists(table)) {
                continue;
            }
            String from = written(client, mapped);
            String to = written(server, mapped);
            for (String line : Files.readAllLines(table)) {
                String[] fields = line.trim().split("\\s+");
                if (fields[1].equals(from) && fields[2].equals(to)) {
                    int owner = Integer.parseInt(fields[7]);
                    // One that its process has closed belongs to nobody: inode 0.
                    return !fields[9].equals("0") && (owner == user || owner == 0);
                }
            }
        }
        return false;
    }

    /** Writes an IPv4 address of loopback as the kernel's tables do, as IPv6 when it is mapped. */
    private static String written(InetSocketAddress address, boolean mapped) {
        byte[] host = address.getAddress().getAddress();
        int word = ByteBuffer.wrap(host).order(ByteOrder.nativeOrder()).getInt();
        String prefix = mapped ? "0000000000000000FFFF0000" : "";
        return String.format(Locale.ROOT, "%s%08X:%04X", prefix, word, address.getPort());
    }

    private static void onLoopback() throws Exception {
        CtClass servers = ClassPool.getDefault().get(SERVERS);
        int[] found = {0};
        servers.getDeclaredMethod("createServer")
                .instrument(
                        new ExprEditor() {
                            @Override
                            public void edit(MethodCall call) throws CannotCompileException {
                                if (call.getMethodName().equals("forPort")) {
                                    call.replace("$_ = OwnersServers.forPort($1);");
                                    found[0]++;
                                }
                            }
                        });
        if (found[0] != 1) {
            throw new IllegalStateException("Beam's servers begin in another way");
        }
        servers.toClass(FnService.class);
    }

    public static void main(String[] arguments) throws Throwable {
        onLoopback();
        // A job would bring the class path of its job server, which each TaskManager has already.
        System.setProperty("java.class.path", "none");
        Object user = Files.getAttribute(Path.of("."), "unix:uid");
        if (Files.exists(TABLE)) {
            user = Files.getAttribute(Path.of("/proc/self"), "unix:uid");
        }
        ServerInterceptor owners = new OwnersServers((Integer) user);
        InternalConfiguratorRegistry.setConfigurators(
                List.of(
                        new InternalConfigurator() {
                            @Override
                            public void configureServerBuilder(ServerBuilder<?> builder) {
                                builder.intercept(owners);
                            }
                        }));
        String[] rest = Arrays.copyOfRange(arguments, 1, arguments.length);
        try {
            Class.forName(arguments[0]).getMethod("main", String[].class).invoke(null, (Object) rest);
        } catch (InvocationTargetException error) {
            throw error.getCause();
        }
    }
}
