// Text from logs, made safe to look at.
//
// A log line can carry characters that are invisible or that reorder what stands around them
// (Unicode bidi controls, zero-width characters, C0 and C1 controls, tag characters, piles of
// combining marks). Shown as they are they let an attacker forge what an analyst reads. They are
// split off here as marks with a name; everything else stays as it was. No DOM in this file.

const BIDI = {
  0x061c: "ALM", 0x200e: "LRM", 0x200f: "RLM", 0x202a: "LRE", 0x202b: "RLE", 0x202c: "PDF",
  0x202d: "LRO", 0x202e: "RLO", 0x2066: "LRI", 0x2067: "RLI", 0x2068: "FSI", 0x2069: "PDI",
};
const INVISIBLE = {
  0x00ad: "SHY", 0x034f: "CGJ", 0x115f: "HF", 0x1160: "HF", 0x180e: "MVS", 0x200b: "ZWSP",
  0x200c: "ZWNJ", 0x200d: "ZWJ", 0x2028: "LSEP", 0x2029: "PSEP", 0x2060: "WJ", 0x3164: "HF",
  0xfeff: "BOM", 0xffa0: "HF",
};

const C0 = ("NUL SOH STX ETX EOT ENQ ACK BEL BS TAB LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC "
  + "FS GS RS US").split(" ");

// Five combining marks in a row occur in no orthography; they smear over neighbouring lines.
const SUSPECT = new RegExp(
  "[\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u180e\\u200b-\\u200f"
  + "\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff9-\\ufffb\\u{e0000}-\\u{e007f}]"
  + "|\\p{Cs}|\\p{M}{5,}",
  "gu",
);

function hex(code) {
  return "U+" + code.toString(16).toUpperCase().padStart(4, "0");
}

function mark(found) {
  const code = found.codePointAt(0);
  if (found.length > 2) {
    return { mark: `+${[...found].length} marks`, title: "a pile of combining marks" };
  }
  if (code < 0x20 || code === 0x7f) return { mark: C0[code] ?? "DEL", title: `${hex(code)}, control character` };
  const name = BIDI[code] ?? INVISIBLE[code] ?? hex(code);
  const kind = BIDI[code] ? "direction control" : "invisible character";
  return { mark: name, title: `${hex(code)}, ${kind}` };
}

/** Splits text into `{text}` and `{mark, title}` pieces, in order; nothing is lost but the mark's raw form. */
export function pieces(value, chars_max = 400) {
  const whole = String(value);
  // Cut between code points, so that no half of a pair is left behind.
  const points = whole.length > chars_max ? [...whole.slice(0, 2 * chars_max)] : null;
  const shown = points && points.length > chars_max ? points.slice(0, chars_max).join("") : whole;
  const out = [];
  let from = 0;
  for (const hit of shown.matchAll(SUSPECT)) {
    if (hit.index > from) out.push({ text: shown.slice(from, hit.index) });
    out.push(mark(hit[0]));
    from = hit.index + hit[0].length;
  }
  if (from < shown.length) out.push({ text: shown.slice(from) });
  const left = whole.length - shown.length;
  if (left > 0) out.push({ mark: `… ${left.toLocaleString("en")} more`, title: "cut for display", cut: true });
  return out;
}

/** The same as one plain string, for titles and labels that cannot hold elements. */
export function plain(value, chars_max = 400) {
  return pieces(value, chars_max).map((piece) => piece.text ?? (piece.cut ? piece.mark : `⟨${piece.mark}⟩`)).join("");
}
