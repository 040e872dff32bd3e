/** What a player that knows some renditions does about those that the stream has now. */
export interface OfferDecision {
  /** It plays on with what it knows; false where it has to load the list of renditions anew. */
  follows: boolean;
  /** The highest of its levels that has something to play; null where all have. */
  ceiling: number | null;
}

const FOLLOWS: OfferDecision = { follows: true, ceiling: null };

/** Compares a player's levels, the lowest first and by name, with the names that the stream has now. Levels can only be left out from the top. */
export function decideOffer(levels: readonly (string | null)[], offered: readonly string[]): OfferDecision {
  if (levels.length === 0 || offered.length === 0) return FOLLOWS;
  const isOffered = (name: string | null) => name !== null && offered.includes(name);
  const ceiling = levels.findLastIndex(isOffered);
  const knowsAll = offered.every((name) => levels.includes(name));
  const fromTheTop = levels.slice(0, ceiling + 1).every(isOffered);
  if (ceiling < 0 || !knowsAll || !fromTheTop) return { follows: false, ceiling: null };
  return ceiling === levels.length - 1 ? FOLLOWS : { follows: true, ceiling };
}
