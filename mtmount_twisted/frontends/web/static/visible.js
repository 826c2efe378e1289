// Makes all characters of a text from outside visible; `mtmount_twisted/visible.py` does the same for terminals and for
// the log. An invisible or misleading character, such as one that reverses the text after it, becomes an escape as in
// Python.
//
// Pure: text in, text out.

// Control, format, private and unassigned characters, surrogates, spaces but U+0020, and letters without a glyph.
const HIDDEN = /(?! )[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\u2800]/gu;
const SHORT = { "\t": "\\t", "\n": "\\n", "\r": "\\r" };

function escaped(char) {
  const code = char.codePointAt(0);
  const hex = (digits) => code.toString(16).padStart(digits, "0");
  if (code < 0x100) return SHORT[char] ?? `\\x${hex(2)}`;
  return code < 0x10000 ? `\\u${hex(4)}` : `\\U${hex(8)}`;
}

export const visible = (text) => text.replace(HIDDEN, escaped);
