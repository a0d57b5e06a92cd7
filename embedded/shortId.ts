/**
 * What people say instead of a whole id: its last six characters. Ids begin with the time, so the end is what tells two of
 * them apart.
 */
export function shortId(id: string): string {
  return id.slice(-6)
}
