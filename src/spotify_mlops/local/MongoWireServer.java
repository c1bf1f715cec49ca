import de.bwaldvogel.mongo.MongoCollection;
import de.bwaldvogel.mongo.MongoDatabase;
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.AbstractUniqueIndex;
import de.bwaldvogel.mongo.backend.CollectionOptions;
import de.bwaldvogel.mongo.backend.CursorRegistry;
import de.bwaldvogel.mongo.backend.Index;
import de.bwaldvogel.mongo.backend.IndexKey;
import de.bwaldvogel.mongo.backend.KeyValue;
import de.bwaldvogel.mongo.backend.Missing;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.backend.h2.H2Collection;
import de.bwaldvogel.mongo.backend.h2.H2Database;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.oplog.Oplog;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import de.bwaldvogel.mongo.wire.bson.BsonDecoder;
import de.bwaldvogel.mongo.wire.bson.BsonEncoder;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.h2.mvstore.Cursor;
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

    /** Documents as BSON: H2 alone would keep them as serialized Java objects. */
    private static final class Bson extends BasicDataType<Document> {
        private static final int FIELD_BYTES = 80;

        @Override
        public int getMemory(Document document) {
            return FIELD_BYTES * (1 + document.size());
        }

        @Override
        public void write(WriteBuffer target, Document document) {
            ByteBuf bytes = Unpooled.buffer(512);
            BsonEncoder.encodeDocument(document, bytes);
            target.putVarInt(bytes.readableBytes()).put(bytes.nioBuffer());
        }

        @Override
        public Document read(ByteBuffer source) {
            int length = DataUtils.readVarInt(source);
            ByteBuf bytes = Unpooled.wrappedBuffer(source.slice(source.position(), length));
            source.position(source.position() + length);
            return BsonDecoder.decodeBson(bytes);
        }

        @Override
        public Document[] createStorage(int size) {
            return new Document[size];
        }
    }

    /**
     * A unique index that also answers "text below a bound" ({@code {_id: {$lt: "..."}}}).
     *
     * <p>The backend's own looks at every document for that: old events could not be deleted
     * without reading all the others.
     */
    private static final class Ordered extends AbstractUniqueIndex<Object> {
        /** How many documents below a bound this thread wants at once. */
        static final ThreadLocal<Integer> most = ThreadLocal.withInitial(() -> Integer.MAX_VALUE);

        private final MVMap<KeyValue, Object> map;

        Ordered(MVMap<KeyValue, Object> map, String name, List<IndexKey> keys, boolean sparse) {
            super(name, keys, sparse);
            this.map = map;
        }

        /** The bound of a query that asks for what is below a text, and for nothing else. */
        private String bound(Document query) {
            if (keys().size() != 1 || !query.keySet().equals(Set.copyOf(keys()))) {
                return null;
            }
            return query.get(keys().get(0)) instanceof Document asked
                && asked.size() == 1 && asked.get("$lt") instanceof String text ? text : null;
        }

        @Override
        public synchronized boolean canHandle(Document query) {
            return bound(query) != null || super.canHandle(query);
        }

        @Override
        public synchronized Iterable<Object> getPositions(Document query) {
            String bound = bound(query);
            if (bound == null) {
                return super.getPositions(query);
            }
            List<Object> found = new ArrayList<>();
            Cursor<KeyValue, Object> below = map.cursor(null, new KeyValue(bound), false);
            while (below.hasNext() && found.size() < most.get()) {
                below.next();
                found.add(below.getValue());
            }
            return found; // the collection compares each document with the query once more
        }

        @Override
        protected Object removeDocument(KeyValue key) {
            return map.remove(key);
        }

        @Override
        protected boolean putKeyPosition(KeyValue key, Object position) {
            return map.putIfAbsent(key, Missing.ofNullable(position)) == null;
        }

        @Override
        protected Iterable<Map.Entry<KeyValue, Object>> getIterable() {
            return map.entrySet();
        }

        @Override
        protected Object getPosition(KeyValue key) {
            return map.get(key);
        }

        @Override
        public long getCount() {
            return map.sizeAsLong();
        }

        @Override
        public long getDataSize() {
            return getCount();
        }
    }

    /** A collection that deletes a range without having all of it in memory. */
    private static final class Frugal extends H2Collection {
        private static final int AT_ONCE = 2_000;

        Frugal(MongoDatabase database, String name, CollectionOptions options,
                MVMap<Object, Document> documents, MVMap<String, Object> meta,
                CursorRegistry cursors) {
            super(database, name, options, documents, meta, cursors);
        }

        @Override
        public int deleteDocuments(Document selector, int limit, Oplog oplog) {
            Ordered.most.set(AT_ONCE);
            try {
                int total = 0;
                int deleted;
                do {
                    deleted = super.deleteDocuments(selector, limit, oplog);
                    total += deleted;
                } while (limit == 0 && deleted == AT_ONCE);
                return total;
            } finally {
                Ordered.most.remove();
            }
        }

        /** Sizes are for statistics alone, and encode each document once more. */
        @Override
        protected boolean tracksDataSize() {
            return false;
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
                protected MongoCollection<Object> openOrCreateCollection(
                        String collection, CollectionOptions options) {
                    String name = getFullCollectionNamespace(collection);
                    MVMap<Object, Document> documents = store.openMap("databases." + name,
                        new MVMap.Builder<Object, Document>().valueType(new Bson()));
                    MVMap<String, Object> meta = store.openMap("meta." + name);
                    return new Frugal(this, collection, options, documents, meta, cursorRegistry);
                }

                @Override
                protected Index<Object> openOrCreateUniqueIndex(
                        String collection, String index, List<IndexKey> keys, boolean sparse) {
                    String map = getFullCollectionNamespace(collection) + "._index_" + index;
                    MVMap.Builder<KeyValue, Object> builder = new MVMap.Builder<>();
                    return new Ordered(
                        store.openMap(map, builder.keyType(new Keys())), index, keys, sparse);
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
