// Text from outside as text that shows what is in it: `mtmount_twisted/visible.py` does the same for terminals and
// for the log. A character that is not seen as itself, such as one that turns the direction of what follows, is
// written as an escape of Python's.
//
// Pure: text in, text out.

// Control, format, private and unassigned characters, surrogates, spaces but the plain one, and letters of no look.
const HIDDEN = /(?! )[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\u2800]/gu;
const SHORT = { "\t": "\\t", "\n": "\\n", "\r": "\\r" };

function escaped(char) {
  const code = char.codePointAt(0);
  const hex = (digits) => code.toString(16).padStart(digits, "0");
  if (code < 0x100) return SHORT[char] ?? `\\x${hex(2)}`;
  return code < 0x10000 ? `\\u${hex(4)}` : `\\U${hex(8)}`;
}

export const visible = (text) => text.replace(HIDDEN, escaped);
