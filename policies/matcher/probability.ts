import { createHash } from 'node:crypto'

/** Draws a number from [0, 1) for an event and a pattern: always the same one, whoever asks and however often. */
export function draw(eventId: string, patternId: string, salt: string): number {
  const hash = createHash('sha256')
    .update(JSON.stringify([salt, patternId, eventId]))
    .digest()
  return hash.readUIntBE(0, 6) / 2 ** 48
}
