// Measures in the page that an experiment looks at: from an event to the frame after the one that shows its effect, and
// whether rows were missing while a list was scrolled. Added to every page before its own scripts run.
window.bench = (() => {
  const LONGEST_MS = 20_000;

  /** Call `look` when the present frame has been laid out and handed over to be drawn. */
  const afterFrame = (look) =>
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = look;
      channel.port2.postMessage(0);
    });

  /** Resolve with the time of the frame after the one in which `shown` is true; reject when it is not true in time. */
  const painted = (shown) =>
    new Promise((resolve, reject) => {
      const began = performance.now();
      const look = () => {
        if (shown()) requestAnimationFrame(() => resolve(performance.now()));
        else if (performance.now() - began > LONGEST_MS) reject(new Error(`not within ${LONGEST_MS} ms: ${shown}`));
        else afterFrame(look);
      };
      afterFrame(look);
    });

  let measured = [];

  /** Measure each event of this type from now on, until what `shown` checks is drawn. */
  const measure = (type, shown) => {
    measured = [];
    const taken = (event) => measured.push(painted(shown).then((at) => at - event.timeStamp));
    window.addEventListener(type, taken, { capture: true, passive: true });
    measure.stop = () => window.removeEventListener(type, taken, { capture: true });
  };

  /** Stop measuring; return the milliseconds of each event. */
  const times = () => {
    measure.stop();
    return Promise.all(measured);
  };

  /** Return how many pixels of a list's window have no row, at its top and at its end. */
  const gap = (list, row) => {
    const window_ = list.getBoundingClientRect();
    const rows = [...list.querySelectorAll(row)].map((each) => each.getBoundingClientRect());
    if (!rows.length) return window_.height;
    const top = Math.min(...rows.map((each) => each.top));
    const bottom = Math.max(...rows.map((each) => each.bottom));
    const end = Math.min(window_.bottom, window_.top + list.clientHeight);
    return Math.max(0, top - window_.top) + Math.max(0, end - bottom);
  };

  let seen;

  /** Count, in each frame, those in which a list of more rows than fit has a gap of more than `most` pixels. */
  const watch = (selector, row, most = 2) => {
    const watched = { frames: 0, blank: 0, worst: 0, watching: true };
    seen = watched;
    const list = document.querySelector(selector);
    const count = () => {
      const px = gap(list, row);
      watched.frames += 1;
      watched.blank += px > most;
      watched.worst = Math.max(watched.worst, px);
    };
    // what was drawn last, at the position to which the list has been scrolled since
    list.addEventListener('scroll', count, { capture: true });
    const frame = () => {
      if (!watched.watching) return list.removeEventListener('scroll', count, { capture: true });
      count();
      afterFrame(frame);
    };
    afterFrame(frame);
  };

  const watched = () => {
    seen.watching = false;
    return seen;
  };

  return { painted, measure, times, gap, watch, watched };
})();
