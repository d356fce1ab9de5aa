// What the marks of an answer mean. The page and the panel of VS Code and Obsidian show them alike.

/**
 * An answer cut at its marks, "[1]"; what stands in code, or right behind a word, is none.
 *
 * @param {string} text
 * @returns {string[]}
 */
export function pieces(text) {
  const found = [""];
  const prose = (part) => {
    for (const piece of part.split(/(\[\d+\])/)) {
      const behindWord = /[\p{L}\p{N}]$/u.test(found[found.length - 1]);
      if (/^\[\d+\]$/.test(piece) && !behindWord) found.push(piece, "");
      else found[found.length - 1] += piece;
    }
  };
  let from = 0;
  for (const code of text.matchAll(/(`{3,})[^]*?(?:\1|$)|`[^`\n]*`/g)) {
    prose(text.slice(from, code.index));
    found[found.length - 1] += code[0];
    from = code.index + code[0].length;
  }
  prose(text.slice(from));
  return found;
}

/**
 * What [?] in an answer means; nothing where every claim is supported.
 *
 * @param {{ supported: boolean, missing: string[] }[]} claims
 * @returns {string}
 */
export function doubt(claims) {
  const loose = claims.filter((claim) => !claim.supported);
  const missing = loose.flatMap((claim) => claim.missing);
  if (!loose.length) return "";
  return "[?] your notes do not support this" + (missing.length ? `: they do not hold ${missing.join(", ")}` : "");
}
