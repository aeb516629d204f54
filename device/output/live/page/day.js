// The chart of the day: a bar for each quarter of an hour, over 24 hours, by the wall clock of the device and in the time zone of the browser.

import { Chart } from "./chart.js";
import { formatDuration } from "./words.js";

const HOUR_S = 3600;
const SHORT_SPANS_S = [3 * HOUR_S, 8 * HOUR_S]; // for a run that has just started
const EDGE_S = 0.02; // of the span: a text nearer to an end would stick out
const DAY = new Intl.DateTimeFormat("en", { weekday: "short" });

export class DayChart extends Chart {
  constructor() {
    super("day", SHORT_SPANS_S);
    this.wallOffset_ms = null; // from the device's monotonic clock to its wall clock; null where there is no time of day
  }

  /** Takes over the wall clock. Bars lie on the monotonic clock: a step of the wall clock moves the axis alone. */
  setClock(now, live) {
    this.wallOffset_ms = live && now.clock !== "unsynced" ? Date.parse(now.wall) - now.mono_s * 1000 : null;
  }

  maxSpan_s() {
    return this.column_s * this.maxColumns;
  }

  titleText(span_s) {
    return `The last ${Math.round(span_s / HOUR_S)} hours`;
  }

  ticks({ narrow, span_s, end_s }) {
    const [ticks, hours] = [[], span_s / HOUR_S];
    const step = Math.ceil(hours / (narrow ? 4 : 8));
    if (this.wallOffset_ms === null) {
      for (let hour = 0; hour < hours - (narrow ? step / 2 : 0); hour += step) {
        ticks.push({ s: end_s - hour * HOUR_S, text: hour ? `−${hour} h` : "now", anchor: hour ? "middle" : "end" });
      }
      return ticks;
    }
    const moment = this.wallTime(end_s - span_s);
    moment.setHours(moment.getHours() - (moment.getHours() % step), 0, 0, 0);
    for (let i = 0; i <= hours; i += 1, moment.setHours(moment.getHours() + step)) {
      const s = (moment.getTime() - this.wallOffset_ms) / 1000;
      const ago = (end_s - s) / span_s;
      if (ago > EDGE_S && ago < 1 - EDGE_S) ticks.push({ s, text: hourText(moment) });
    }
    return ticks;
  }

  momentText(ago_s, bar) {
    if (this.wallOffset_ms === null) return super.momentText(ago_s);
    if (!bar) return this.wallText(this.plot.end_s - ago_s);
    return `${this.wallText(bar.from_s)} to ${hourText(this.wallTime(bar.from_s + bar.seconds))}`;
  }

  sinceText() {
    const { columns, known_s, span_s } = this.plot;
    if (!columns.length || known_s >= span_s) return "";
    return `Known since ${this.wallOffset_ms === null ? `${formatDuration(known_s)} ago` : this.wallText(columns[0].from_s)}. `;
  }

  wallTime(s) {
    return new Date(this.wallOffset_ms + s * 1000);
  }

  wallText(s) {
    const moment = this.wallTime(s);
    return `${DAY.format(moment)} ${hourText(moment)}`;
  }
}

function hourText(moment) {
  return `${String(moment.getHours()).padStart(2, "0")}:${String(moment.getMinutes()).padStart(2, "0")}`;
}
