// What became of an alert or an incident: the lines of a history or a timeline, and what people did as words.

import { el, untrusted } from "./dom.js";
import { age_el, time_el, words } from "./format.js";

/** The API takes addresses of the web alone; what came another way is shown and leads nowhere. */
function link_el(address) {
  const text = untrusted(address, 120);
  return /^https?:\/\//.test(address) ? el("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, text) : text;
}

/** What a person changed, as words; `null` if nothing. */
export function step_text({ status, disposition, assignee, note, link }) {
  const done = [
    status ? ["set status to ", untrusted(status, 20), disposition ? [" as ", untrusted(words(disposition).toLowerCase(), 30)] : null] : null,
    assignee ? ["assigned to ", untrusted(assignee, 60)] : assignee === "" ? "assigned to nobody" : null,
    link ? ["linked it to ", link_el(link)] : null,
  ].filter((part) => part !== null);
  if (!done.length) return note ? "noted" : null;
  return done.map((part, i) => [i ? ", " : "", part]);
}

export function lesson_text(lesson) {
  return [el("span.tag", {}, "lesson"), " ", untrusted(lesson, 400)];
}

/** One line: who or what (`head`), what (`text`), in a person's words (`note`). `human`: a person did it. */
export function entry_el({ head, text, note, time, human }) {
  return el(`li.entry${human ? ".entry-human" : ""}`, {}, el("div", {}, el("strong", {}, head), " ", text),
    note ? el("blockquote", {}, untrusted(note, 4000)) : null, el("div.more", {}, time_el(time), " · ", age_el(time)));
}

/** Lines, newest first. */
export function history_list(entries) {
  return entries.length ? el("ol.history", {}, entries) : el("p.more", {}, "Nothing yet.");
}
