import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { defineExecutor, done } from './define.js'
import { loadExecutors, shippedExecutors } from './registry.js'
import { runExecutor } from './testing.js'

const DEFINE = pathToFileURL(join(import.meta.dirname, 'define.ts')).href
const ZOD = import.meta.resolve('zod')

const SHIPPED = ['http', 'mcp', 'minion', 'noop', 'notify', 'openclaw', 'radar', 'wreckit']

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ops-loop-executors-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true })
})

const write = (name: string, text: string) => writeFile(join(folder, name), text)

const executorFile = (kind: string) => `
  import { z } from ${JSON.stringify(ZOD)}
  import { defineExecutor, done } from ${JSON.stringify(DEFINE)}
  export default defineExecutor({
    kind: '${kind}',
    params: z.object({ name: z.string() }),
    run: ({ params }) => done({ text: 'Hello ' + params.name }),
  })
`

describe('shipped executors', () => {
  it('are known by their kind', () => {
    expect([...shippedExecutors().keys()]).toEqual(SHIPPED)
  })
})

describe('a folder of executors', () => {
  it('adds to the shipped ones', async () => {
    await write('greet.ts', executorFile('greet'))
    const executors = await loadExecutors(folder)
    const greet = executors.get('greet')
    expect([...executors.keys()]).toEqual([...SHIPPED, 'greet'])
    if (!greet) return
    const { outcome } = await runExecutor(greet, { name: 'Ada' })
    expect(outcome).toMatchObject({ outcome: 'done', result: { text: 'Hello Ada' } })
  })

  it('may hold tests, declarations, helpers and notes as well', async () => {
    for (const name of ['greet.test.ts', 'greet.d.ts', '_helper.ts', 'README.md'])
      await write(name, 'throw 1')
    expect(await loadExecutors(folder)).toEqual(shippedExecutors())
  })

  it.each([
    ['broken.ts', 'throw new Error("at once")', 'cannot be loaded: at once'],
    ['empty.ts', 'export const x = 1', 'its default export is no executor'],
    ['plain.ts', 'export default { kind: "x", run() {} }', 'its default export is no executor'],
    ['again.ts', executorFile('noop'), "there is an executor 'noop' already"],
    ['odd.ts', executorFile('Not A Kind'), "'Not A Kind' cannot be an executor's kind"],
  ])('names the file when it is wrong: %s', async (name, text, message) => {
    await write(name, text)
    await expect(loadExecutors(folder)).rejects.toThrow(join(folder, name))
    await expect(loadExecutors(folder)).rejects.toThrow(message)
  })

  it('has to be there', async () => {
    await expect(loadExecutors(join(folder, 'missing'))).rejects.toThrow(`${join(folder, 'missing')}`)
  })
})

describe('defineExecutor', () => {
  const greet = defineExecutor({
    kind: 'greet',
    params: z.object({ names: z.array(z.string()).default([]) }),
    run: ({ params }) => done(params.names.length),
  })

  it('gives run what the schema makes of the params', async () => {
    expect((await runExecutor(greet, {})).outcome).toMatchObject({ result: 0 })
  })

  it('names the path of what the schema refuses', async () => {
    expect(await greet.prepare({ names: ['Ada', 7] })).toMatchObject({
      ok: false,
      problems: [{ path: 'params.names.1' }],
    })
  })
})
