import de.bwaldvogel.mongo.MongoDatabase;
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.Index;
import de.bwaldvogel.mongo.backend.IndexKey;
import de.bwaldvogel.mongo.backend.KeyValue;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.backend.h2.H2Database;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Set;
import org.h2.mvstore.DataUtils;
import org.h2.mvstore.MVMap;
import org.h2.mvstore.MVStore;
import org.h2.mvstore.WriteBuffer;
import org.h2.mvstore.type.BasicDataType;
import org.h2.mvstore.type.ObjectDataType;

/** Serves the MongoDB wire protocol from one H2 file: {@code MongoWireServer FILE PORT}. */
public final class MongoWireServer {
    private static final Set<String> WRITES = Set.of(
        "insert", "update", "delete", "findAndModify", "findandmodify", "create", "createIndexes",
        "drop", "dropDatabase", "dropIndexes", "renameCollection");

    /** PyMongo asks for wire version 9 (MongoDB 4.4); the commands it then uses are all there. */
    private static final MongoVersion VERSION = new MongoVersion() {
        public List<Integer> getVersionArray() { return List.of(5, 0, 0); }
        public int getWireVersion() { return 9; }
    };

    /**
     * The keys of a unique index: text as text, before all others.
     *
     * <p>H2 compares what it does not know by serializing it, in each step of a search: four fifths
     * of the time of an insert.
     */
    private static final class Keys extends BasicDataType<KeyValue> {
        private static final byte TEXT = 127; // no tag of ObjectDataType
        private static final ObjectDataType OBJECTS = new ObjectDataType();

        private static String text(KeyValue key) {
            return key.size() == 1 && key.get(0) instanceof String text ? text : null;
        }

        @Override
        public int compare(KeyValue one, KeyValue other) {
            String first = text(one);
            String second = text(other);
            if (first != null && second != null) {
                return first.compareTo(second);
            }
            if (first == null && second == null) {
                return OBJECTS.compare(one, other);
            }
            return first != null ? -1 : 1;
        }

        @Override
        public int getMemory(KeyValue key) {
            String text = text(key);
            return text != null ? 64 + 2 * text.length() : OBJECTS.getMemory(key);
        }

        @Override
        public void write(WriteBuffer target, KeyValue key) {
            String text = text(key);
            if (text == null) {
                OBJECTS.write(target, key);
                return;
            }
            target.put(TEXT).putVarInt(text.length()).putStringData(text, text.length());
        }

        @Override
        public KeyValue read(ByteBuffer source) {
            if (source.get(source.position()) != TEXT) {
                return (KeyValue) OBJECTS.read(source);
            }
            source.get();
            return new KeyValue(DataUtils.readString(source));
        }

        @Override
        public KeyValue[] createStorage(int size) {
            return new KeyValue[size];
        }
    }

    /** Commits before it answers a write: what was acknowledged survives kill -9. */
    private static final class Durable extends H2Backend {
        Durable(MVStore store) { super(store); }

        @Override
        public Document handleMessage(MongoMessage message) {
            Document answer = super.handleMessage(message);
            if (WRITES.contains(message.getDocument().keySet().iterator().next())) {
                commit(); // which hands the pages to a thread that writes them: wait for it
                getMvStore().getFileStore().executeFileStoreOperation(() -> { });
            }
            return answer;
        }

        @Override
        protected MongoDatabase openOrCreateDatabase(String name) {
            MVStore store = getMvStore();
            return new H2Database(name, store, getCursorRegistry()) {
                @Override
                protected Index<Object> openOrCreateUniqueIndex(
                        String collection, String index, List<IndexKey> keys, boolean sparse) {
                    // Whoever opens the map first says how its keys are kept.
                    String map = getFullCollectionNamespace(collection) + "._index_" + index;
                    store.openMap(map, new MVMap.Builder<KeyValue, Object>().keyType(new Keys()));
                    return super.openOrCreateUniqueIndex(collection, index, keys, sparse);
                }
            };
        }
    }

    public static void main(String[] arguments) {
        MVStore store = new MVStore.Builder().fileName(arguments[0]).open();
        Durable backend = new Durable(store);
        backend.version(VERSION);
        MongoServer server = new MongoServer(backend);
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
        server.bind("127.0.0.1", Integer.parseInt(arguments[1]));
    }
}
