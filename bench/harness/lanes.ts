import type postgres from 'postgres'

/** How a long job of storing is watched and broken off. */
export interface StoreOptions {
  /** Told after each chunk how much is stored. */
  onProgress?: (done: number) => void
  /** Aborted: no further chunk is begun, those under way are finished, and it throws. */
  signal?: AbortSignal
}

/** Works off `0 … count - 1` in chunks, each a transaction of its own, on all connections of a pool at the same time. */
export async function inLanes(
  sql: postgres.Sql,
  count: number,
  chunk: number,
  { onProgress, signal }: StoreOptions,
  work: (tx: postgres.TransactionSql, from: number, to: number) => Promise<void>,
): Promise<void> {
  let next = 0
  let done = 0
  async function lane(): Promise<void> {
    while (next < count && !signal?.aborted) {
      const from = next
      const to = Math.min(count, from + chunk)
      next = to
      await sql.begin((tx) => work(tx, from, to))
      done += to - from
      onProgress?.(done)
    }
  }
  await Promise.all(Array.from({ length: sql.options.max }, lane))
  signal?.throwIfAborted()
}
