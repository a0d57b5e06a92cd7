import packageJson from '../../package.json' with { type: 'json' }
import { type ApiDescription, renderDocs } from '../docs.js'
import { type Router, router } from '../router.js'

const either: Record<string, string[]>[] = [{ key: [] }, { header: [] }]

const INFO = {
  openapi: '3.1.0',
  info: {
    title: 'Ops Loop',
    version: packageJson.version,
    description:
      'The control plane: event → reaction → proposal → gate → mission → steps → executor → event. ' +
      'Errors are {"error", "code", "details"} everywhere.',
  },
  security: either,
  tags: [
    { name: 'heartbeat', description: 'What makes the loop go round.' },
    { name: 'events', description: 'Facts that were reported.' },
    { name: 'webhooks', description: 'Facts that other systems report, signed.' },
    { name: 'proposals', description: 'Missions that someone wants to run, and the decisions about them.' },
    { name: 'missions', description: 'Admitted proposals at work.' },
    { name: 'steps', description: 'Their units of work, and the dead letters.' },
    { name: 'policies', description: 'What operators steer with.' },
    { name: 'trace', description: 'Why something exists, and what happened since.' },
    { name: 'alerts', description: 'What the loop found wrong with itself, and who is on it.' },
    { name: 'invariants', description: 'What must always hold, checked by every beat.' },
    { name: 'radar', description: 'Signals worth watching, from the first sign to what was shipped.' },
    { name: 'observation', description: 'Whether all is well.' },
  ],
}

/** Describes every route of `app`, for programs (`/openapi.json`) and for people (`/docs`). */
export function docsRoutes(app: Router) {
  app.openAPIRegistry.registerComponent('securitySchemes', 'key', {
    type: 'http',
    scheme: 'bearer',
    description: 'OPS_API_KEY, or a token; for the heartbeat also CRON_SECRET.',
  })
  app.openAPIRegistry.registerComponent('securitySchemes', 'header', {
    type: 'apiKey',
    in: 'header',
    name: 'X-API-Key',
    description: 'The same, for tools that send no other header.',
  })
  let described: ApiDescription | undefined
  const describe = () => {
    described ??= app.getOpenAPI31Document(INFO)
    return described
  }

  const routes = router()
  routes.get('/', (c) => c.redirect('/docs'))
  routes.get('/openapi.json', (c) => c.json(describe()))
  routes.get('/docs', (c) => c.html(renderDocs(describe())))
  return routes
}
