import de.bwaldvogel.mongo.MongoCollection;
import de.bwaldvogel.mongo.MongoDatabase;
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.AbstractSynchronizedMongoCollection;
import de.bwaldvogel.mongo.backend.AbstractUniqueIndex;
import de.bwaldvogel.mongo.backend.CollectionOptions;
import de.bwaldvogel.mongo.backend.Constants;
import de.bwaldvogel.mongo.backend.CursorRegistry;
import de.bwaldvogel.mongo.backend.DocumentWithPosition;
import de.bwaldvogel.mongo.backend.Index;
import de.bwaldvogel.mongo.backend.IndexKey;
import de.bwaldvogel.mongo.backend.KeyValue;
import de.bwaldvogel.mongo.backend.QueryResult;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.backend.h2.H2Database;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.oplog.Oplog;
import de.bwaldvogel.mongo.wire.bson.BsonDecoder;
import de.bwaldvogel.mongo.wire.bson.BsonEncoder;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import de.bwaldvogel.mongo.wire.message.MongoQuery;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import java.nio.ByteBuffer;
import java.security.GeneralSecurityException;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.h2.mvstore.Cursor;
import org.h2.mvstore.DataUtils;
import org.h2.mvstore.MVMap;
import org.h2.mvstore.MVStore;
import org.h2.mvstore.WriteBuffer;
import org.h2.mvstore.type.BasicDataType;
import org.h2.mvstore.type.ByteArrayDataType;
import org.h2.mvstore.type.ObjectDataType;

/**
 * Serves the MongoDB wire protocol from one H2 file: {@code MongoWireServer FILE PORT USER}; the
 * user's password is in the environment, as {@code MONGO_PASSWORD}.
 */
public final class MongoWireServer {
    private static final Set<String> WRITES = Set.of(
        "insert", "update", "delete", "findAndModify", "findandmodify", "create", "createIndexes",
        "drop", "dropDatabase", "dropIndexes", "renameCollection");

    /** How long the file keeps what was replaced in it. */
    private static final int RETENTION_MILLIS = 4_000;
    /** How long the server may take to make its file small before it ends. */
    private static final int CLOSING_MILLIS = 2_000;

    /** PyMongo asks for wire version 9 (MongoDB 4.4); the commands it then uses are all there. */
    private static final MongoVersion VERSION = new MongoVersion() {
        public List<Integer> getVersionArray() { return List.of(5, 0, 0); }
        public int getWireVersion() { return 9; }
    };

    /**
     * What documents are kept by: text as text, before all others.
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

    /** What a collection holds: documents as BSON, by their normalized {@code _id}. */
    private static MVMap<KeyValue, byte[]> documents(MVStore store, String collection) {
        MVMap.Builder<KeyValue, byte[]> builder = new MVMap.Builder<>();
        builder.keyType(new Keys()).valueType(ByteArrayDataType.INSTANCE);
        return store.openMap("databases." + collection, builder);
    }

    /**
     * The index of {@code _id}: the documents' own map.
     *
     * <p>The backend keeps a second one, which doubles the pages that a write changes.
     */
    private static final class ById extends AbstractUniqueIndex<Object> {
        private final MVMap<KeyValue, byte[]> documents;

        ById(MVMap<KeyValue, byte[]> documents, String name, List<IndexKey> keys, boolean sparse) {
            super(name, keys, sparse);
            this.documents = documents;
        }

        @Override
        public synchronized void add(
            Document document, Object position, MongoCollection<Object> collection) {
            // It is there: the collection has just put the document.
        }

        /** What a query that asks for more than the {@code _id} asks of this index. */
        private static Document ofId(Document query) {
            String id = Constants.ID_FIELD;
            return query.containsKey(id) ? new Document(id, query.get(id)) : query;
        }

        /**
         * The backend's looks at each document when a query has another field beside; the
         * collection compares the one that is found with all of the query.
         */
        @Override
        public synchronized boolean canHandle(Document query) {
            return super.canHandle(ofId(query));
        }

        @Override
        public synchronized Iterable<Object> getPositions(Document query) {
            return super.getPositions(ofId(query));
        }

        @Override
        protected boolean putKeyPosition(KeyValue key, Object position) {
            return true;
        }

        @Override
        protected Object removeDocument(KeyValue key) {
            return getPosition(key); // the collection removes the document next
        }

        @Override
        protected Iterable<Map.Entry<KeyValue, Object>> getIterable() {
            return () -> documents.keySet().stream()
                .map(key -> Map.<KeyValue, Object>entry(key, key)).iterator();
        }

        @Override
        protected Object getPosition(KeyValue key) {
            return documents.containsKey(key) ? key : null;
        }

        @Override
        public long getCount() {
            return documents.sizeAsLong();
        }

        @Override
        public long getDataSize() {
            return getCount();
        }
    }

    /**
     * A collection that keeps documents as BSON and decodes them when somebody asks.
     *
     * <p>The backend's own keeps them as maps of objects: those in its cache, and those that wait
     * to be written, cost the garbage collector a third of the time under a stream of inserts.
     */
    private static final class Frugal extends AbstractSynchronizedMongoCollection<Object> {
        private final MVMap<KeyValue, byte[]> documents;

        Frugal(MongoDatabase database, String name, CollectionOptions options,
                MVMap<KeyValue, byte[]> documents, CursorRegistry cursors) {
            super(database, name, options, cursors);
            this.documents = documents;
        }

        private static byte[] encoded(Document document) {
            ByteBuf bytes = Unpooled.buffer(512);
            BsonEncoder.encodeDocument(document, bytes);
            byte[] result = new byte[bytes.readableBytes()];
            bytes.readBytes(result);
            return result;
        }

        private static Document decoded(byte[] bytes) {
            return BsonDecoder.decodeBson(Unpooled.wrappedBuffer(bytes));
        }

        @Override
        protected Object addDocumentInternal(Document document) {
            Object id = getIdField() != null ? document.get(getIdField()) : UUID.randomUUID();
            KeyValue key = new KeyValue(Collections.singletonList(id)).normalized();
            if (documents.putIfAbsent(key, encoded(document)) != null) {
                throw new IllegalStateException("A document is there already: " + key);
            }
            return key;
        }

        @Override
        protected Document getDocument(Object position) {
            byte[] bytes = documents.get(position);
            return bytes != null ? decoded(bytes) : null;
        }

        @Override
        protected void removeDocument(Object position) {
            if (documents.remove(position) == null) {
                throw new NoSuchElementException("No document at " + position);
            }
        }

        @Override
        protected void handleUpdate(Object position, Document before, Document after) {
            documents.put((KeyValue) position, encoded(after));
        }

        /** The text of {@code {_id: {$lt: text}}}; null for any other query. */
        private String bound(Document query) {
            return query.size() == 1 && query.get(getIdField()) instanceof Document asked
                && asked.size() == 1 && asked.get("$lt") instanceof String text ? text : null;
        }

        /** Deletes "text below a bound" by the keys alone; texts are the first of them. */
        @Override
        public synchronized int deleteDocuments(Document selector, int limit, Oplog oplog) {
            String bound = limit == 0 && getIndexes().size() == 1 ? bound(selector) : null;
            if (bound == null) {
                return super.deleteDocuments(selector, limit, oplog);
            }
            KeyValue end = new KeyValue(bound);
            int deleted = 0;
            Cursor<KeyValue, byte[]> below = documents.cursor(null, end, false);
            while (below.hasNext()) {
                KeyValue key = below.next();
                if (!key.equals(end)) {
                    documents.remove(key);
                    deleted++;
                }
            }
            return deleted;
        }

        @Override
        protected Stream<DocumentWithPosition<Object>> streamAllDocumentsWithPosition() {
            return documents.entrySet().stream().map(
                entry -> new DocumentWithPosition<>(decoded(entry.getValue()), entry.getKey()));
        }

        @Override
        protected QueryResult matchDocuments(Document query, Document orderBy, int skip, int limit,
                int batchSize, Document projection) {
            Stream<Document> all =
                streamAllDocumentsWithPosition().map(DocumentWithPosition::getDocument);
            if (isNaturalDescending(orderBy)) {
                List<Document> reversed = all.collect(Collectors.toList());
                Collections.reverse(reversed);
                all = reversed.stream();
            }
            return matchDocumentsFromStream(
                all, query, orderBy, skip, limit, batchSize, projection);
        }

        @Override
        public int count() {
            return documents.size();
        }

        @Override
        public boolean isEmpty() {
            return documents.isEmpty();
        }

        /** Sizes are for statistics alone, and encode each document once more. */
        @Override
        protected boolean tracksDataSize() {
            return false;
        }

        @Override
        protected void updateDataSize(int delta) {
        }

        @Override
        protected int getDataSize() {
            return 0;
        }
    }

    /**
     * Answers one user, and commits before it answers a write: what was acknowledged survives
     * kill -9. After a write that the disk refuses the process ends: its clients wait for one that
     * takes it.
     */
    private static final class Durable extends H2Backend {
        private final ScramSha256 users;

        Durable(MVStore store, ScramSha256 users) {
            super(store);
            this.users = users;
        }

        @Override
        public Document handleCommand(
                Channel channel, String database, String command, Document query) {
            Document answer = users.answer(channel, command, query);
            if (answer != null) {
                return answer;
            }
            users.require(channel, command);
            return super.handleCommand(channel, database, command, query);
        }

        @Override
        public QueryResult handleQuery(MongoQuery query) {
            users.require(query.getChannel(), "find");
            return super.handleQuery(query);
        }

        @Override
        public Collection<Document> getCurrentOperations(MongoQuery query) {
            users.require(query.getChannel(), "currentOp");
            return super.getCurrentOperations(query);
        }

        /** Asked without saying on which connection: refused on all. */
        @Override
        public Document getServerStatus() {
            throw ScramSha256.refusal("serverStatus");
        }

        @Override
        public Document handleMessage(MongoMessage message) {
            try {
                Document answer = super.handleMessage(message);
                if (WRITES.contains(message.getDocument().keySet().iterator().next())) {
                    commit(); // which hands the pages to a thread that writes them: wait for it
                    getMvStore().getFileStore().executeFileStoreOperation(() -> { });
                }
                return answer;
            } catch (RuntimeException error) {
                if (getMvStore().isClosed()) { // a write failed, and it takes no other ever more
                    error.printStackTrace();
                    Runtime.getRuntime().halt(1);
                }
                throw error;
            }
        }

        /** Gives back, before it ends, what the file holds in vain. */
        @Override
        public void close() {
            getMvStore().close(CLOSING_MILLIS);
            super.close();
        }

        @Override
        protected MongoDatabase openOrCreateDatabase(String name) {
            MVStore store = getMvStore();
            return new H2Database(name, store, getCursorRegistry()) {
                @Override
                protected MongoCollection<Object> openOrCreateCollection(
                        String collection, CollectionOptions options) {
                    String name = getFullCollectionNamespace(collection);
                    return new Frugal(
                        this, collection, options, documents(store, name), cursorRegistry);
                }

                @Override
                protected Index<Object> openOrCreateUniqueIndex(
                        String collection, String index, List<IndexKey> keys, boolean sparse) {
                    if (keys.size() != 1 || !keys.get(0).getKey().equals(Constants.ID_FIELD)) {
                        return super.openOrCreateUniqueIndex(collection, index, keys, sparse);
                    }
                    String name = getFullCollectionNamespace(collection);
                    return new ById(documents(store, name), index, keys, sparse);
                }
            };
        }
    }

    /**
     * Keeps the file near the size of what it holds.
     *
     * <p>H2 leaves what was replaced or deleted in the file until the system has surely written
     * what came in its place to the disk: it waits 45 s. Asking the system to do so, it need wait
     * only a few.
     */
    private static void keepSmall(MVStore store) {
        int unasked = store.getRetentionTime();
        store.setRetentionTime(RETENTION_MILLIS);
        ScheduledExecutorService sync = Executors.newSingleThreadScheduledExecutor(work -> {
            Thread thread = new Thread(work, "sync");
            thread.setDaemon(true);
            return thread;
        });
        AtomicLong synced = new AtomicLong();
        sync.scheduleWithFixedDelay(() -> {
            long written = store.getFileStore().getWriteCount();
            if (store.isClosed() || synced.get() == written) {
                return;
            }
            try {
                store.sync();
                synced.set(written);
                store.setRetentionTime(RETENTION_MILLIS);
            } catch (RuntimeException refused) {
                store.setRetentionTime(unasked);
            }
        }, RETENTION_MILLIS / 4, RETENTION_MILLIS / 4, TimeUnit.MILLISECONDS);
    }

    public static void main(String[] arguments) throws GeneralSecurityException {
        ScramSha256 users = new ScramSha256(arguments[2], System.getenv("MONGO_PASSWORD"));
        MVStore store = new MVStore.Builder().fileName(arguments[0]).open();
        keepSmall(store);
        Durable backend = new Durable(store, users);
        backend.version(VERSION);
        MongoServer server = new MongoServer(backend);
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
        server.bind("127.0.0.1", Integer.parseInt(arguments[1]));
    }
}
