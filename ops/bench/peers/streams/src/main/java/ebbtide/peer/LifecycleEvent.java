package ebbtide.peer;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * One lifecycle message, read straight from its bytes: the Confluent wire format, then the Avro body of
 * {@code ebbtide/avro/LifecycleEvent.avsc}. Text stays UTF-8, because it goes into a key as it is; fields behind
 * {@code occurred_at} are not kept by the ledger's `created` facts and are not read.
 */
final class LifecycleEvent {
    static final int CREATED = 0;
    static final int TOUCHED = 1;
    static final int DELETED = 2;
    private static final int HEADER = 5;
    private static final long DAY_MS = 86_400_000L;

    final int kind;
    final byte[] org;
    final byte[] category;
    final byte[] recordId;
    final byte[][] subjectIds;
    /** Days since the epoch, UTC. */
    final int day;

    private LifecycleEvent(Reader in) {
        kind = (int) in.readLong();
        org = in.readBytes();
        category = in.readBytes();
        recordId = in.readBytes();
        subjectIds = in.readStrings();
        day = (int) Math.floorDiv(in.readLong(), DAY_MS);
    }

    /** Throws IllegalArgumentException if the message is not in the wire format or ends early. */
    static LifecycleEvent decode(byte[] message) {
        if (message.length < HEADER || message[0] != 0) {
            throw new IllegalArgumentException("not in the Confluent wire format");
        }
        return new LifecycleEvent(new Reader(message, HEADER));
    }

    /** The few Avro types the schema uses. */
    private static final class Reader {
        private final byte[] data;
        private int at;

        Reader(byte[] data, int at) {
            this.data = data;
            this.at = at;
        }

        long readLong() {
            long raw = 0;
            for (int shift = 0; shift < 64; shift += 7) {
                if (at >= data.length) {
                    throw new IllegalArgumentException("the message ends inside a number");
                }
                byte next = data[at++];
                raw |= (long) (next & 0x7F) << shift;
                if (next >= 0) {
                    return (raw >>> 1) ^ -(raw & 1);
                }
            }
            throw new IllegalArgumentException("a number of more than 64 bits");
        }

        byte[] readBytes() {
            long length = readLong();
            if (length < 0 || length > data.length - at) {
                throw new IllegalArgumentException("the message ends inside a text");
            }
            byte[] out = new byte[(int) length];
            System.arraycopy(data, at, out, 0, out.length);
            at += out.length;
            return out;
        }

        byte[][] readStrings() {
            byte[][] out = new byte[0][];
            for (long count = readLong(); count != 0; count = readLong()) {
                if (count < 0) {
                    count = -count;
                    readLong(); // the block's size in bytes, of use only to those who skip it
                }
                if (count > data.length - at) {
                    throw new IllegalArgumentException("a list longer than its message");
                }
                int old = out.length;
                out = Arrays.copyOf(out, old + (int) count);
                for (int i = old; i < out.length; i++) {
                    out[i] = readBytes();
                }
            }
            return out;
        }
    }

    static String text(byte[] utf8) {
        return new String(utf8, StandardCharsets.UTF_8);
    }
}
