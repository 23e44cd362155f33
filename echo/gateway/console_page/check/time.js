// Time and company: everything that waits takes an AbortSignal, and nothing outlives who waits for it. No page.

/** Seconds, from some beginning. */
export const now = () => performance.now() / 1000;

/**
 * Do something in a scope within another: its signal is aborted with the outer one, or by itself.
 *
 * Not by AbortSignal.any: Chromium may collect such a signal as garbage while a response is being read, and then does not
 * abort that.
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

/** Wait until `done` is called, which `begin` is given. Rejects when the signal is aborted. */
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
 * Do something within so many seconds.
 *
 * @param {(signal: AbortSignal) => Promise} work Takes a signal that is aborted when they are over.
 * @param {*} late What is given if they are.
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

/** Do jobs side by side; if one fails, the others are aborted and waited for, and its error is thrown. */
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

/** Do jobs in their order, so many at a time; gives their results. */
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

/** So many places; who comes when all are taken waits. */
export class Places {
  #free;
  #waiting = [];

  constructor(number) {
    this.#free = number;
  }

  /** Take a place; gives a function that gives it back, and does nothing the second time. */
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
