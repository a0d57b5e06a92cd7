/** Every command and query of docs/runbook.md, on a loop at work: run as they stand there. */

import { mkdtemp, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { serve } from '@hono/node-server'
import type { Command } from 'commander'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { appOver, KEY, testApi } from '../api/testing.js'
import { createProgram } from '../cli/program.js'
import { run } from '../cli/testing.js'
import packageJson from '../package.json' with { type: 'json' }
import { isPolicyKey } from '../policies/index.js'

interface Block {
  language: string
  heading: string
  text: string
}

/** Fenced blocks, each with the heading that it stands under. */
function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = []
  let heading = ''
  for (const part of markdown.matchAll(/^(#+ .*)$|^```(\w+)\n([\s\S]*?)^```$/gm)) {
    const [, title, language, text = ''] = part
    if (title !== undefined) heading = title.replace(/^#+ /, '')
    else if (language !== undefined) blocks.push({ language, heading, text })
  }
  return blocks
}

const page = await readFile(new URL('../docs/runbook.md', import.meta.url), 'utf8')
const blocks = blocksOf(page)
const prose = page.replace(/^```[\s\S]*?^```$/gm, '')
const statements = [
  ...blocks
    .filter(({ language }) => language === 'sql')
    .flatMap(({ heading, text }) =>
      text.split(/;\s*\n/).flatMap((sql): [string, string][] => (sql.trim() ? [[heading, sql.trim()]] : [])),
    ),
  ...[...prose.matchAll(/`(select [^`]+)`/g)].map(([, sql = '']): [string, string] => ['in passing', sql]),
]
const commands = blocks
  .filter(({ language }) => language === 'sh')
  .flatMap(({ heading, text }) =>
    text.split('\n').flatMap((line): [string, string][] => (line.trim() ? [[heading, line.trim()]] : [])),
  )

const { db, engine, propose, worker, policy } = await testApi()
const before = { ...process.env }
const cwd = process.cwd()
const names: Record<string, string> = {}
let server: ReturnType<typeof serve>

beforeAll(async () => {
  await policy('auto_approve', { enabled: true, max_risk_level: 'low' })
  await policy('proposal_caps', { daily_limit: 100 })
  await policy('proposal_caps', { daily_limit: 101 })
  const [event] = await engine.emitEvents([{ type: 'app:began', data: {} }])
  const dead = await propose({ title: 'Dies', risk_level: 'low' })
  await worker.fail()
  const running = await propose({ title: 'Runs', risk_level: 'low' })
  await worker.claim()
  const waiting = await propose({ title: 'Waits', risk_level: 'high' })
  const [step] = await engine.listSteps({ mission_id: dead.mission_id ?? '' })
  Object.assign(names, {
    $EVENT: event?.event_id,
    $PROPOSAL: waiting.proposal_id,
    $MISSION: running.mission_id,
    $STEP: step?.id,
  })
  server = await new Promise((resolve) => {
    const listening = serve({ fetch: appOver(engine).fetch, hostname: '127.0.0.1', port: 0 }, () =>
      resolve(listening),
    )
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  names.$OPS_API_URL = `http://127.0.0.1:${address.port}`
  names.$OPS_API_KEY = KEY
  process.env.DATABASE_URL = db.url
  process.env.OPS_ACTOR = 'dana'
  process.chdir(await mkdtemp(join(inject('testDir'), 'runbook-')))
})
afterAll(async () => {
  process.chdir(cwd)
  process.env = before
  await new Promise((resolve) => server.close(resolve))
})

const filledIn = (line: string) =>
  Object.entries(names).reduce((text, [name, value]) => text.replaceAll(name, value), line)

/** A command line's words; quotes keep theirs together. */
const wordsOf = (line: string) =>
  [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, a, b, c]) => a ?? b ?? c ?? '')

async function curl(words: string[]): Promise<number> {
  const headers = new Headers()
  let method = 'GET'
  let url = ''
  for (let i = 0; i < words.length; i++) {
    if (words[i] === '-H') headers.set(...splitHeader(words[++i] ?? ''))
    else if (words[i] === '-X') method = words[++i] ?? ''
    else if (!words[i]?.startsWith('-')) url = words[i] ?? ''
  }
  return (await fetch(url, { method, headers })).status
}

function splitHeader(text: string): [string, string] {
  const [name = '', ...value] = text.split(': ')
  return [name, value.join(': ')]
}

describe('the page', () => {
  test('has commands and queries', () => {
    expect(statements.length).toBeGreaterThan(30)
    expect(commands.length).toBeGreaterThan(20)
  })

  test('names no command in passing that does not exist', async () => {
    const inline = [...prose.matchAll(/`(ops-loop [^`]+)`/g)].map(([, line = '']) => line)
    for (const line of inline) {
      const unknown = unknownWord(createProgram({ json: false }), wordsOf(line).slice(1))
      expect({ line, unknown }).toEqual({ line, unknown: undefined })
    }
  })
})

test('names in passing no script, view, function or policy that does not exist', async () => {
  const scripts = [...prose.matchAll(/npm run (\w+)/g)].map(([, script = '']) => script)
  expect(scripts.length).toBeGreaterThan(0)
  for (const script of scripts) expect(Object.keys(packageJson.scripts)).toContain(script)
  const named = [...new Set([...prose.matchAll(/`(ops_\w+)(?:\(\))?`/g)].map(([, name = '']) => name))]
  expect(named.length).toBeGreaterThan(2)
  const known = await db.sql`
    select name from unnest(${named}::text[]) name
    where to_regclass('public.' || name) is not null or exists (select from pg_proc p where p.proname = name)`
  expect(known.map(({ name }) => name).sort()).toEqual(named.sort())
  const policies = [...prose.matchAll(/[Pp]olic(?:y|ies) `(\w+)`/g)].map(([, name = '']) => name)
  expect(policies.length).toBeGreaterThan(2)
  expect(policies.filter((name) => !isPolicyKey(name))).toEqual([])
})

/** The first word that should name a command and does not. */
function unknownWord(program: Command, [word, ...rest]: string[]): string | undefined {
  if (word === undefined || word.startsWith('-') || program.commands.length === 0) return undefined
  const command = program.commands.find((one) => one.name() === word)
  return command ? unknownWord(command, rest) : word
}

describe('queries', () => {
  test.each(statements)('%s: %s', async (_, sql) => {
    await db.sql.unsafe(sql)
  })
})

describe('commands', () => {
  test.each(commands)('%s: %s', async (_, line) => {
    const [program, ...words] = wordsOf(filledIn(line))
    if (program === 'curl') {
      expect(await curl(words)).toBe(200)
    } else {
      expect(program).toBe('ops-loop')
      const { exitCode, stderr } = await run(...words)
      // What looks for trouble says so when there is some, and here there is.
      const finds = ['verify', 'doctor'].includes(words[0] ?? '')
      expect({ exitCode: finds ? Math.min(exitCode, 0) : exitCode, stderr }).toEqual({
        exitCode: 0,
        stderr: '',
      })
    }
  })
})
