package ebbtide.peer;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.kafka.common.utils.Bytes;

/**
 * The layout of the two stores, ordered so that what is due is one range for each (org, category).
 *
 * <pre>
 * records   org 0 category 0 day(4, big endian) id          -> subjects: (length(2), text)...
 * subjects  org 0 subject 0 category 0 day(4) id            -> empty
 * days      org 0 category 0 id                         -> created day(4), day of the last activity(4)
 * id        1, 16 bytes for a UUID in its usual spelling; else 0, text
 * </pre>
 */
final class Keys {
    private static final int DAY = 4;

    private Keys() {}

    /** The bytes of a record id: a UUID takes 17 instead of 36. */
    static byte[] packId(byte[] text) {
        if (text.length == 36) {
            byte[] packed = new byte[17];
            packed[0] = 1;
            int nibble = 2;
            for (int i = 0; i < 36; i++) {
                byte c = text[i];
                if (i == 8 || i == 13 || i == 18 || i == 23) {
                    if (c != '-') {
                        return packText(text);
                    }
                    continue;
                }
                int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
                if (value < 0) {
                    return packText(text);
                }
                packed[nibble >> 1] |= (byte) ((nibble & 1) == 0 ? value << 4 : value);
                nibble++;
            }
            return packed;
        }
        return packText(text);
    }

    private static byte[] packText(byte[] text) {
        byte[] packed = new byte[text.length + 1];
        System.arraycopy(text, 0, packed, 1, text.length);
        return packed;
    }

    private static final byte[] HEX = "0123456789abcdef".getBytes(StandardCharsets.US_ASCII);

    /** The text of the id that lies packed in {@code key} from {@code at} to its end. */
    static byte[] unpackId(byte[] key, int at) {
        if (key[at] == 0) {
            return Arrays.copyOfRange(key, at + 1, key.length);
        }
        byte[] text = new byte[36];
        int to = 0;
        for (int i = at + 1; i < at + 17; i++) {
            if (to == 8 || to == 13 || to == 18 || to == 23) {
                text[to++] = '-';
            }
            text[to++] = HEX[(key[i] >> 4) & 0xF];
            text[to++] = HEX[key[i] & 0xF];
        }
        return text;
    }

    static Bytes record(byte[] org, byte[] category, int day, byte[] id) {
        byte[] key = new byte[org.length + category.length + 2 + DAY + id.length];
        int at = put(key, 0, org);
        at = put(key, at, category);
        putDay(key, at, day);
        System.arraycopy(id, 0, key, at + DAY, id.length);
        return Bytes.wrap(key);
    }

    /** Where a record's days are kept, for events that name it by its id alone. */
    static Bytes days(byte[] org, byte[] category, byte[] id) {
        byte[] key = new byte[org.length + category.length + 2 + id.length];
        int at = put(key, 0, org);
        at = put(key, at, category);
        System.arraycopy(id, 0, key, at, id.length);
        return Bytes.wrap(key);
    }

    static byte[] twoDays(int created, int last) {
        byte[] value = new byte[2 * DAY];
        putDay(value, 0, created);
        putDay(value, DAY, last);
        return value;
    }

    /** The index entry of one subject: behind the subject stands the record's key without its org. */
    static Bytes subject(byte[] org, byte[] subject, int subjectAt, int subjectLength, byte[] recordKey) {
        int tail = recordKey.length - org.length - 1;
        byte[] key = new byte[org.length + 1 + subjectLength + 1 + tail];
        int at = put(key, 0, org);
        System.arraycopy(subject, subjectAt, key, at, subjectLength);
        at += subjectLength + 1;
        System.arraycopy(recordKey, org.length + 1, key, at, tail);
        return Bytes.wrap(key);
    }

    /** The first possible key of a day. {@code prefix} ends behind the category's zero byte. */
    static byte[] dayStart(byte[] prefix, int prefixLength, int day) {
        byte[] key = Arrays.copyOf(prefix, prefixLength + DAY);
        putDay(key, prefixLength, day);
        return key;
    }

    static int dayOf(byte[] key, int at) {
        return (key[at] & 0xFF) << 24 | (key[at + 1] & 0xFF) << 16 | (key[at + 2] & 0xFF) << 8 | (key[at + 3] & 0xFF);
    }

    static int idAt(int dayAt) {
        return dayAt + DAY;
    }

    /** Index of the first zero byte at or behind {@code from}. */
    static int zero(byte[] key, int from) {
        int at = from;
        while (key[at] != 0) {
            at++;
        }
        return at;
    }

    static byte[] packSubjects(byte[][] subjects) {
        int size = 0;
        for (byte[] subject : subjects) {
            size += 2 + subject.length;
        }
        byte[] out = new byte[size];
        int at = 0;
        for (byte[] subject : subjects) {
            out[at++] = (byte) (subject.length >> 8);
            out[at++] = (byte) subject.length;
            System.arraycopy(subject, 0, out, at, subject.length);
            at += subject.length;
        }
        return out;
    }

    private static int put(byte[] key, int at, byte[] text) {
        System.arraycopy(text, 0, key, at, text.length);
        return at + text.length + 1;
    }

    private static void putDay(byte[] key, int at, int day) {
        key[at] = (byte) (day >> 24);
        key[at + 1] = (byte) (day >> 16);
        key[at + 2] = (byte) (day >> 8);
        key[at + 3] = (byte) day;
    }
}
