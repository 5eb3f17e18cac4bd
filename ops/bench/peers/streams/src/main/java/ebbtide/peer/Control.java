package ebbtide.peer;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;

/** What the main thread asks of the tasks, and what they count. */
final class Control {
    static final int NONE = Integer.MIN_VALUE;

    final LongAdder ingested = new LongAdder();
    final LongAdder skipped = new LongAdder();
    final LongAdder swept = new LongAdder();
    final Set<String> tasks = ConcurrentHashMap.newKeySet();
    final Set<String> flushed = ConcurrentHashMap.newKeySet();
    final Set<String> sweptTasks = ConcurrentHashMap.newKeySet();

    /** What day it is, for the sweep; NONE: no sweep is wanted. */
    volatile int sweepDay = NONE;
    volatile boolean flush;

    private final int partitions;

    Control(int partitions) {
        this.partitions = partitions;
    }

    /** Whether every task is there: one that lost its transaction is away until its stores are restored. */
    boolean complete() {
        return tasks.size() == partitions;
    }

    /** Whether every task is there, and has {@code done} what was asked for. */
    boolean allIn(Set<String> done) {
        return complete() && done.containsAll(tasks);
    }
}
