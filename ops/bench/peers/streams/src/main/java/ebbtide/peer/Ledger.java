package ebbtide.peer;

import java.time.Duration;
import java.util.Arrays;
import java.util.Map;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Keeps each created record in two stores, and sweeps what is due from a punctuator.
 *
 * <p>The sweep seeks from one (org, category) to the next and reads only the range of days that are due. It does at
 * most SLICE records in one call, so that processing and commits go on between; the place it has reached is kept in
 * memory, so that no call reads the tombstones of the one before.
 */
final class Ledger implements Processor<byte[], byte[], byte[], byte[]> {
    static final String RECORDS = "records";
    static final String SUBJECTS = "subjects";
    static final String DAYS = "days";
    private static final int SLICE = 20_000;
    private static final byte[] EMPTY = new byte[0];

    private final Control control;
    private final Map<String, Integer> periodDays;
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<Bytes, byte[]> records;
    private KeyValueStore<Bytes, byte[]> subjects;
    /** Only where the traffic has events that name a record by its id; else it would be a third write for nothing. */
    private KeyValueStore<Bytes, byte[]> days;
    private final boolean lookups;
    private final boolean lastActivity;
    private String task;

    private int sweepDay = Control.NONE;
    private Bytes cursor;
    private boolean committing;
    private long erased;

    Ledger(Control control, Map<String, Integer> periodDays, boolean lookups, boolean lastActivity) {
        this.lookups = lookups;
        this.lastActivity = lastActivity;
        this.control = control;
        this.periodDays = periodDays;
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        records = context.getStateStore(RECORDS);
        subjects = context.getStateStore(SUBJECTS);
        days = lookups ? context.getStateStore(DAYS) : null;
        task = context.taskId().toString();
        control.tasks.add(task);
        context.schedule(Duration.ofMillis(10), PunctuationType.WALL_CLOCK_TIME, this::punctuate);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        LifecycleEvent event = LifecycleEvent.decode(record.value());
        if (event.kind != LifecycleEvent.CREATED) {
            if (lookups) {
                later(event);
            } else {
                control.skipped.increment();
            }
            return;
        }
        byte[] id = Keys.packId(event.recordId);
        if (lookups) {
            days.put(Keys.days(event.org, event.category, id), Keys.twoDays(event.day, event.day));
        }
        Bytes key = Keys.record(event.org, event.category, event.day, id);
        records.put(key, Keys.packSubjects(event.subjectIds));
        for (byte[] subject : event.subjectIds) {
            subjects.put(Keys.subject(event.org, subject, 0, subject.length, key.get()), EMPTY);
        }
        control.ingested.increment();
    }

    /** An event about a record that is there: a touch moves its last activity, a delete removes it. */
    private void later(LifecycleEvent event) {
        byte[] id = Keys.packId(event.recordId);
        Bytes daysKey = Keys.days(event.org, event.category, id);
        byte[] known = days.get(daysKey);
        if (known == null) {
            control.skipped.increment();
            return;
        }
        int created = Keys.dayOf(known, 0);
        if (event.kind == LifecycleEvent.TOUCHED) {
            if (event.day > Keys.dayOf(known, 4)) {
                days.put(daysKey, Keys.twoDays(created, event.day));
            }
        } else if (event.kind == LifecycleEvent.DELETED) {
            Bytes key = Keys.record(event.org, event.category, created, id);
            remove(event.org, key.get(), records.get(key));
            days.put(daysKey, null);
        }
        control.ingested.increment();
    }

    private void punctuate(long nowMs) {
        if (control.flush && !control.flushed.contains(task)) {
            records.flush();
            subjects.flush();
            if (lookups) {
                days.flush();
            }
            control.flushed.add(task);
        }
        int wanted = control.sweepDay;
        if (wanted == Control.NONE) {
            return;
        }
        if (wanted != sweepDay) {
            sweepDay = wanted;
            cursor = Bytes.wrap(EMPTY);
            committing = false;
            erased = 0;
        }
        if (cursor != null) {
            sweep(nowMs);
        } else if (committing) {
            // The thread commits what was asked for before it calls punctuators again: all of it is durable now.
            committing = false;
            control.swept.add(erased); // not one by one: what an aborted transaction erased is erased again
            control.sweptTasks.add(task);
        }
    }

    private void sweep(long nowMs) {
        int left = SLICE;
        while (left > 0 && cursor != null) {
            left -= sweepOne(nowMs, left);
        }
        if (cursor == null) {
            committing = true;
            context.commit();
        }
    }

    /** Erase at most {@code limit} due records of the (org, category) at the cursor, and move the cursor. */
    private int sweepOne(long nowMs, int limit) {
        int done = 0;
        try (KeyValueIterator<Bytes, byte[]> rows = records.range(cursor, null)) {
            if (!rows.hasNext()) {
                cursor = null;
                return 1;
            }
            byte[] first = rows.peekNextKey().get();
            int orgEnd = Keys.zero(first, 0);
            int categoryEnd = Keys.zero(first, orgEnd + 1);
            byte[] org = Arrays.copyOf(first, orgEnd);
            byte[] category = Arrays.copyOfRange(first, orgEnd + 1, categoryEnd);
            int dayAt = categoryEnd + 1;
            // Created on day d and kept for p days: due when day d + p is over.
            Integer period = periodDays.get(LifecycleEvent.text(category));
            int keepFrom = period == null ? Integer.MIN_VALUE : sweepDay - period;
            while (rows.hasNext()) {
                KeyValue<Bytes, byte[]> row = rows.next();
                byte[] key = row.key.get();
                boolean same = key.length >= dayAt && Arrays.equals(key, 0, dayAt, first, 0, dayAt);
                if (!same) {
                    cursor = row.key;
                    return done + 1;
                }
                if (Keys.dayOf(key, dayAt) >= keepFrom) {
                    cursor = Bytes.wrap(Keys.dayStart(first, dayAt, -1));
                    return done + 1;
                }
                if (done == limit) {
                    cursor = row.key;
                    return done;
                }
                done++;
                int idAt = Keys.idAt(dayAt);
                if (lookups) {
                    Bytes daysKey = Keys.days(org, category, Arrays.copyOfRange(key, idAt, key.length));
                    if (lastActivity && Keys.dayOf(days.get(daysKey), 4) >= keepFrom) {
                        continue; // it stays where it is, and is looked at again by the next sweep
                    }
                    days.put(daysKey, null);
                }
                erase(org, category, key, idAt, row.value, nowMs);
            }
            cursor = null;
        }
        return done;
    }

    private void erase(byte[] org, byte[] category, byte[] key, int idAt, byte[] packedSubjects, long nowMs) {
        byte[] id = Keys.unpackId(key, idAt);
        byte[] erasure = Arrays.copyOf(category, category.length + 1 + id.length);
        System.arraycopy(id, 0, erasure, category.length + 1, id.length);
        context.forward(new Record<>(org, erasure, nowMs));
        remove(org, key, packedSubjects);
        erased++;
    }

    private void remove(byte[] org, byte[] key, byte[] packedSubjects) {
        // put of null, not delete: a store's delete reads the old value first, to return it.
        for (int at = 0; at < packedSubjects.length; ) {
            int length = (packedSubjects[at] & 0xFF) << 8 | (packedSubjects[at + 1] & 0xFF);
            subjects.put(Keys.subject(org, packedSubjects, at + 2, length, key), null);
            at += 2 + length;
        }
        records.put(Bytes.wrap(key), null);
    }

    @Override
    public void close() {
        control.tasks.remove(task);
    }
}
