/** A viewer's 32-bit hash (murmur3's steps over the id's characters). A `seed` that clients don't know keeps them from choosing a shard. */
export function hashViewer(viewer: string, seed: number): number {
  let hash = seed;
  for (let at = 0; at < viewer.length; at++) {
    let word = Math.imul(viewer.charCodeAt(at), 0xcc9e2d51);
    word = Math.imul((word << 15) | (word >>> 17), 0x1b873593);
    hash ^= word;
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0;
  }
  return avalanche(hash ^ viewer.length);
}

/** The one of the numbers `first` … `first + size - 1` that a hash belongs to: the one with the highest score (highest random weight). */
export function rendezvous(hash: number, first: number, size: number): number {
  let best = first;
  let bestScore = -1;
  for (let number = first; number < first + size; number++) {
    // A bijection of different inputs: no two scores are equal.
    const score = avalanche(hash ^ Math.imul(number + 2, 0x9e3779b1));
    if (score <= bestScore) continue;
    best = number;
    bestScore = score;
  }
  return best;
}

/** murmur3's finaliser: each bit of the input changes half of the output's. Unsigned. */
function avalanche(input: number): number {
  let hash = input;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
