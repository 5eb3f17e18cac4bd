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
}
