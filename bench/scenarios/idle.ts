import { open, stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import { median } from '../harness/numbers.js'
import { inTurn } from '../harness/rounds.js'
import { contenderNames, type Scenario } from '../harness/types.js'

/** What a worker that has nothing to do costs the database. */
export const idle: Scenario = {
  name: 'idle',
  question: 'how many statements a second does a worker send that has nothing to do?',
  async run(context) {
    const seconds = context.quick ? 5 : 20
    const subjects = await inTurn(context, contenderNames, async (contender) => {
      await logStatements(contender.database.adminUrl)
      await contender.call('watch', {})
      await sleep(3000)
      const { size } = await stat(context.logFile)
      await sleep(seconds * 1000)
      return (await statementsSince(context.logFile, size)) / seconds
    })
    const ours = median(subjects[0]?.rounds ?? [])
    const goal = { goal: 'at most one a second', measured: ours.toFixed(2), reached: ours <= 1 }
    return [{ metric: 'Statements of an idle worker', unit: '1/s', better: 'lower', subjects, goals: [goal] }]
  },
}

/** For connections that are made from now on. */
async function logStatements(url: string): Promise<void> {
  const sql = postgres(url, { max: 1 })
  await sql`alter database ${sql(new URL(url).pathname.slice(1))} set log_statement = 'all'`
  await sql.end()
}

async function statementsSince(logFile: string, position: number): Promise<number> {
  const file = await open(logFile)
  try {
    const { size } = await file.stat()
    const { buffer } = await file.read(Buffer.alloc(size - position), 0, size - position, position)
    return buffer.toString().match(/ LOG: {2}(statement|execute [^:]+): /g)?.length ?? 0
  } finally {
    await file.close()
  }
}
