import { html } from 'hono/html'
import type { Router } from './router.js'

/** What `/openapi.json` answers. */
export type ApiDescription = ReturnType<Router['getOpenAPI31Document']>

type PathItem = NonNullable<ApiDescription['paths']>[string]
type Operation = NonNullable<PathItem['get']>
type Described = { method: string; path: string; operation: Operation }

/** The docs page: one HTML document without scripts, pictures or anything from elsewhere, made from the description. */
export function renderDocs(api: ApiDescription) {
  const operations = operationsOf(api)
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${api.info.title} API</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${api.info.title} API <small>${api.info.version}</small></h1>
<p>${api.info.description} For programs: <a href="/openapi.json">openapi.json</a>.</p>
<nav>${(api.tags ?? []).map(({ name }) => html`<a href="#${name}">${name}</a> `)}</nav>
${(api.tags ?? []).map(
  ({ name, description }) => html`<section>
<h2 id="${name}">${name}</h2>
<p>${description}</p>
${operations.filter(({ operation }) => operation.tags?.includes(name)).map(renderOperation)}
</section>`,
)}
<section>
<h2 id="schemas">schemas</h2>
${Object.entries(api.components?.schemas ?? {}).map(
  ([name, schema]) => html`<details id="schema-${name}"><summary>${name}</summary>${code(schema)}</details>`,
)}
</section>
</body>
</html>`
}

function operationsOf(api: ApiDescription): Described[] {
  return Object.entries(api.paths ?? {}).flatMap(([path, item]) =>
    (['get', 'post', 'put', 'patch', 'delete'] as const).flatMap((method) => {
      const operation = item[method]
      return operation ? [{ method: method.toUpperCase(), path, operation }] : []
    }),
  )
}

function renderOperation({ method, path, operation }: Described) {
  const open = operation.security?.length === 0
  return html`<article>
<h3><b>${method}</b> <code>${path}</code>${open ? html` <i>open</i>` : ''}</h3>
<p><strong>${operation.summary}.</strong> ${prose(operation.description)}</p>
${renderParameters(operation)}
${renderBody(operation)}
<table>${Object.entries(operation.responses ?? {}).map(
    ([status, response]) =>
      html`<tr><th>${status}</th><td>${prose(response.description)}</td><td>${schemaOf(response)}</td></tr>`,
  )}</table>
</article>`
}

function renderParameters({ parameters = [] }: Operation) {
  if (parameters.length === 0) return ''
  return html`<ul>${parameters.map((parameter) =>
    'name' in parameter
      ? html`<li><code>${parameter.name}</code> (${parameter.in}${parameter.required ? ', required' : ''}) ${prose(descriptionOf(parameter))}</li>`
      : '',
  )}</ul>`
}

function renderBody({ requestBody }: Operation) {
  if (!requestBody || !('content' in requestBody)) return ''
  const { example } = requestBody.content['application/json'] ?? {}
  return example === undefined ? '' : html`<p>For example:</p>${code(example)}`
}

/** A link to the named schema of a JSON answer, where it has a name. */
function schemaOf(response: { content?: Record<string, { schema?: unknown }> }) {
  const schema = response.content?.['application/json']?.schema
  const reference =
    typeof schema === 'object' && schema !== null && '$ref' in schema ? String(schema.$ref) : ''
  const name = reference.split('/').at(-1)
  return name ? html`<a href="#schema-${name}">${name}</a>` : ''
}

function descriptionOf({ description, schema }: { description?: string; schema?: unknown }): string {
  if (description) return description
  const inner =
    typeof schema === 'object' && schema !== null && 'description' in schema ? schema.description : ''
  return typeof inner === 'string' ? inner : ''
}

/** Text whose `words in backticks` are code. */
function prose(text = '') {
  return text.split('`').map((part, n) => (n % 2 === 0 ? part : html`<code>${part}</code>`))
}

function code(value: unknown) {
  return html`<pre><code>${JSON.stringify(value, null, 2)}</code></pre>`
}

const STYLE = `
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
nav { position: sticky; top: 0; padding: .5rem 0; background: inherit; border-bottom: 1px solid #ccc }
article { margin: 1.5rem 0; padding: 0 1rem; border-left: 3px solid #bbb }
h3 { margin: 0; font-weight: normal }
pre { padding: .75rem; overflow-x: auto; background: #f4f4f4 }
th { text-align: left; vertical-align: top; padding-right: 1rem }
td { padding-right: 1rem }
small, i { color: #666; font-weight: normal }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } pre { background: #262626 } a { color: #8bf } }
`
