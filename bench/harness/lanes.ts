import type postgres from 'postgres'

/** Works off `0 … count - 1` in chunks, each a transaction of its own, on all connections of a pool at the same time. */
export async function inLanes(
  sql: postgres.Sql,
  count: number,
  chunk: number,
  work: (tx: postgres.TransactionSql, from: number, to: number) => Promise<void>,
): Promise<void> {
  let next = 0
  async function lane(): Promise<void> {
    while (next < count) {
      const from = next
      next = Math.min(count, from + chunk)
      const to = next
      await sql.begin((tx) => work(tx, from, to))
    }
  }
  await Promise.all(Array.from({ length: sql.options.max }, lane))
}
