import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { connectEngine } from '../engine/index.js'
import { renderDocs } from './docs.js'
import { appOver } from './testing.js'

// The description needs no database: nothing connects before the first call.
const app = appOver(connectEngine({ databaseUrl: 'postgresql://nobody@127.0.0.1:1/none' }))

describe('/openapi.json', () => {
  test('describes every route that the app has', async () => {
    const response = await app.request('/openapi.json')
    const { paths } = z
      .object({ openapi: z.literal('3.1.0'), paths: z.record(z.string(), z.unknown()) })
      .parse(await response.json())
    const described = Object.keys(paths).map((path) => path.replaceAll(/\{(\w+)\}/g, ':$1'))
    const undocumented = ['/', '/openapi.json', '/docs']
    const real = app.routes.filter(({ method }) => method !== 'ALL').map(({ path }) => path)
    expect(new Set(described)).toEqual(new Set(real.filter((path) => !undocumented.includes(path))))
  })

  test('says of every operation what it is and what can go wrong', async () => {
    const operation = z.looseObject({
      summary: z.string().min(1),
      tags: z.array(z.string()).length(1),
      responses: z.record(z.string(), z.looseObject({ description: z.string().min(1) })),
    })
    const document = await (await app.request('/openapi.json')).json()
    const { paths } = z
      .object({ paths: z.record(z.string(), z.record(z.string(), operation)) })
      .parse(document)
    for (const [path, methods] of Object.entries(paths)) {
      for (const { responses } of Object.values(methods)) {
        if (path.startsWith('/api/')) expect(Object.keys(responses), path).toContain('401')
      }
    }
  })
})

describe('/docs', () => {
  test('is one page with every route, and loads nothing', async () => {
    const response = await app.request('/docs')
    const page = await response.text()
    expect(response.headers.get('content-type')).toContain('text/html')
    const described = app.getOpenAPI31Document({ openapi: '3.1.0', info: { title: '', version: '' } })
    const paths = Object.keys(described.paths ?? {})
    expect(paths.length).toBeGreaterThan(30)
    expect(paths.filter((path) => !page.includes(`<code>${path}</code>`))).toEqual([])
    expect(page).toContain('deploy:finished')
    expect(page).not.toMatch(/<script|<img|<link|src=|@import|https?:\/\//)
  })

  test('is where the bare address leads', async () => {
    const response = await app.request('/')
    expect([response.status, response.headers.get('location')]).toEqual([302, '/docs'])
  })

  test('escapes what it shows', async () => {
    const page = await renderDocs({
      openapi: '3.1.0',
      info: { title: '<b>', version: '1' },
      tags: [{ name: 't', description: '<script>alert(1)</script>' }],
      paths: {},
    })
    expect(String(page)).not.toMatch(/<b>|<script>/)
  })
})
