// What was counted, over the time that this page is open: rates, levels and latencies.

const KEPT = 300;
const SMOOTHED = 5;

export class Figures {
  constructor() {
    this.samples = [];
  }

  add(overview) {
    this.samples.push({ at: overview.timestamp, figures: overview.figures });
    if (this.samples.length > KEPT) this.samples.shift();
  }

  // How often a second; of all values of the label, or of one.
  rate(name, label) {
    return this.#pairs((before, now, seconds) => {
      const grown = total(now[name], label) - total(before[name], label);
      return Math.max(0, grown) / seconds; // a process that began anew counts from 0
    });
  }

  level(name, label) {
    return this.samples.map(({ at, figures }) => [at, total(figures[name], label)]);
  }

  // The latency in seconds that a part of the observations did not exceed; null where there were none.
  quantile(name, part) {
    return this.#pairs((before, now) => {
      const bounds = now[name]?.bounds;
      if (!bounds) return null;
      const grown = buckets(now[name]).map((count, index) => Math.max(0, count - (buckets(before[name])[index] ?? 0)));
      return quantileOf(bounds, grown, part);
    });
  }

  #pairs(value) {
    const found = [];
    for (let index = 1; index < this.samples.length; index += 1) {
      const before = this.samples[Math.max(0, index - SMOOTHED)];
      const now = this.samples[index];
      found.push([now.at, value(before.figures, now.figures, Math.max(0.001, now.at - before.at))]);
    }
    return found;
  }
}

function total(metric, label) {
  const values = metric?.values ?? {};
  if (label !== undefined) return values[label]?.[0] ?? 0;
  return Object.values(values).reduce((sum, numbers) => sum + numbers[0], 0);
}

function buckets(metric) {
  const found = [];
  for (const numbers of Object.values(metric?.values ?? {})) {
    numbers.slice(0, -1).forEach((count, index) => { found[index] = (found[index] ?? 0) + count; });
  }
  return found;
}

export function quantileOf(bounds, counts, part) {
  const all = counts.reduce((sum, count) => sum + count, 0);
  if (!all) return null;
  let before = 0;
  for (let index = 0; index < bounds.length; index += 1) {
    if (before + counts[index] >= part * all) {
      const low = index ? bounds[index - 1] : 0;
      return low + (bounds[index] - low) * ((part * all - before) / counts[index]);
    }
    before += counts[index];
  }
  return bounds[bounds.length - 1];
}
