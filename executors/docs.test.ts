import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { withTables } from './reference.js'
import { shippedExecutors } from './registry.js'

const page = await readFile(new URL('../docs/executors.md', import.meta.url), 'utf8')

/** The steps that the page shows. */
const examples = [...page.matchAll(/```json\n(.*?)```/gs)].map(([, text]) =>
  z.strictObject({ kind: z.string(), params: z.unknown() }).parse(JSON.parse(text ?? '')),
)

describe('docs/executors.md', () => {
  it('has the tables that the executors make', () => expect(withTables(page)).toBe(page))

  it('shows an example of every executor', () => {
    const shown = new Set(examples.map(({ kind }) => kind.split(':')[0]))
    expect([...shippedExecutors().keys()].filter((kind) => !shown.has(kind))).toEqual([])
  })

  it.each(examples)('shows params that $kind accepts: $params', async ({ kind, params }) => {
    const executor = shippedExecutors().get(kind.split(':')[0] ?? '')
    expect(await executor?.prepare(params)).toMatchObject({ ok: true })
  })
})
