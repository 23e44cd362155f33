// Time limits and structured concurrency: everything that waits takes an AbortSignal, and nothing outlives its caller. Does
// not touch the page.

/** Seconds on a monotonic clock. */
export const now = () => performance.now() / 1000;

/**
 * Run work in an inner scope: its signal is aborted with the outer one, or by itself.
 *
 * AbortSignal.any is not used: Chromium may garbage-collect such a signal while a response is being read, and then the
 * response is not aborted.
 *
 * @param {(scope: AbortController) => Promise} work
 */
export async function scoped(signal, work) {
  const scope = new AbortController();
  const pass = () => scope.abort(signal.reason);
  signal.throwIfAborted();
  signal.addEventListener("abort", pass);
  try {
    return await work(scope);
  } finally {
    signal.removeEventListener("abort", pass);
  }
}

/** Call `begin` with a function `done`, and wait until that is called. Rejects when the signal is aborted. */
export async function until(signal, begin) {
  signal.throwIfAborted();
  let stop;
  try {
    return await new Promise((done, fail) => {
      stop = () => fail(signal.reason);
      signal.addEventListener("abort", stop);
      begin(done);
    });
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Wait so many seconds. */
export async function sleep(signal, seconds) {
  let timer;
  try {
    await until(signal, (done) => {
      timer = setTimeout(done, Math.max(0, seconds) * 1000);
    });
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Run work for at most so many seconds.
 *
 * @param {(signal: AbortSignal) => Promise} work Takes a signal that is aborted when the time is up.
 * @param {*} late What to return in that case.
 */
export function within(signal, seconds, work, late = null) {
  return scoped(signal, async (scope) => {
    let over = false;
    const timer = setTimeout(() => {
      over = true;
      scope.abort(new DOMException("time is up", "TimeoutError"));
    }, Math.max(0, seconds) * 1000);
    try {
      return await work(scope.signal);
    } catch (error) {
      if (over && !signal.aborted) return late;
      throw error;
    } finally {
      clearTimeout(timer);
    }
  });
}

/** Run jobs in parallel; if one fails, the others are aborted and waited for, and its error is thrown. */
export function together(signal, jobs) {
  return scoped(signal, async (scope) => {
    let failure = null;
    const results = await Promise.all(
      jobs.map(async (job) => {
        try {
          return await job(scope.signal);
        } catch (error) {
          failure ??= { error };
          scope.abort(error);
          return undefined;
        }
      }),
    );
    if (failure) throw failure.error;
    return results;
  });
}

/** Run jobs in order, so many at a time; returns their results. */
export async function inTurn(signal, jobs, atOnce) {
  const results = new Array(jobs.length);
  let next = 0;
  const work = async (inner) => {
    while (next < jobs.length) {
      const mine = next;
      next += 1;
      results[mine] = await jobs[mine](inner);
    }
  };
  await together(signal, Array.from({ length: Math.min(atOnce, jobs.length) }, () => work));
  return results;
}

/** A limited number of places; a caller waits while all are taken. */
export class Places {
  #free;
  #waiting = [];

  constructor(number) {
    this.#free = number;
  }

  /** Take a place; returns a function that releases it once. */
  async take(signal) {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else await this.#wait(signal);
    let taken = true;
    return () => {
      if (!taken) return;
      taken = false;
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    };
  }

  async #wait(signal) {
    let mine;
    try {
      await until(signal, (done) => {
        mine = done;
        this.#waiting.push(done);
      });
    } catch (error) {
      this.#waiting = this.#waiting.filter((one) => one !== mine);
      throw error;
    }
  }
}
