import postgres from 'postgres'
import { oursInTurn } from '../harness/rounds.js'
import type { Scenario, Subject } from '../harness/types.js'

/** What an editor of a large matrix waits for. */
export const policyCheck: Scenario = {
  name: 'policy-check',
  question: 'how long does the database take to check, store and audit a changed reaction matrix?',
  async run(context) {
    const subjects: Subject[] = []
    for (const patterns of [10, 100, 1000]) {
      subjects.push(
        await oursInTurn(context, `${patterns.toLocaleString('en')} patterns`, (database) =>
          edit(database.url, patterns),
        ),
      )
    }
    return [{ metric: 'Update of ops_policy', unit: 'ms', better: 'lower', subjects }]
  },
}

async function edit(url: string, patterns: number): Promise<number> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined })
  const update = async (salt: string) => {
    const value = sql.json({ salt, patterns: Array.from({ length: patterns }, (_, n) => pattern(n)) })
    const began = performance.now()
    await sql`
      insert into ops_policy (key, value) values ('reaction_matrix', ${value}) on conflict (key) do update set value = excluded.value`
    return performance.now() - began
  }
  await update('first')
  const ms = await update('second')
  await sql.end()
  return ms
}

const pattern = (n: number) => ({
  id: `pattern-${n}`,
  description: 'What the pattern is for',
  event_type: [`bench:type-${n}`, 'bench:other.*'],
  tags: ['a', 'b'],
  when: `event.data.n > ${n}`,
  cooldown_minutes: 10,
  cooldown_key: '{{event.data.key}}',
  threshold: { count: 3, within_minutes: 10 },
  template: {
    title: 'answer {{event.data.n}}',
    risk_level: 'low',
    steps: [
      { key: 'a', kind: 'noop', params: { n: '{{event.data.n}}' } },
      { key: 'b', kind: 'noop', depends_on: ['a'], timeout_seconds: 60 },
    ],
  },
})
