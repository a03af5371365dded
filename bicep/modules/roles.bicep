metadata name = 'Roles of drkit'
metadata description = 'Custom role definitions, made of the file that drkit itself uses.'

targetScope = 'subscription'

import { dataDefinition, ids } from '../types.bicep'

@description('Required. The beginning of every name.')
param namePrefix string

@description('Required. Whether the role that creates resource groups is made.')
param withGroupCreator bool

@description('Required. Whether the role by which the operator runs commands on hosts is made.')
param withRunCommand bool

var all = loadJsonContent('../../drkit/model/roles.json').roles
var left = concat(withGroupCreator ? [] : ['group-creator'], withRunCommand ? [] : ['operator-run-command'])
var wanted = filter(all, one => !empty(one.actions) && !contains(left, one.name))
var blobs = flatten(map(
  all,
  role =>
    map(union(map(role.data_actions, one => one.container), []), container => {
      role: role.name
      title: role.title
      container: container
      actions: map(filter(role.data_actions, one => one.container == container), one => one.action)
      paths: union(
        map(
          filter(role.data_actions, one => one.container == container && !empty(one.?path ?? '')),
          one => one.?path ?? ''
        ),
        []
      )
    })
))

resource definitions 'Microsoft.Authorization/roleDefinitions@2022-04-01' = [
  for role in wanted: {
    name: guid(subscription().id, namePrefix, role.name)
    properties: {
      roleName: '${role.title} (${namePrefix})'
      description: role.description
      type: 'CustomRole'
      permissions: [
        {
          actions: map(role.actions, one => one.action)
          notActions: []
          dataActions: []
          notDataActions: []
        }
      ]
      assignableScopes: [subscription().id]
    }
  }
]

// Data actions hold on one container each, so each role has a definition for each of them.
resource dataDefinitions 'Microsoft.Authorization/roleDefinitions@2022-04-01' = [
  for one in blobs: {
    name: guid(subscription().id, namePrefix, one.role, one.container)
    properties: {
      roleName: '${one.title}: ${one.container} (${namePrefix})'
      description: 'What ${one.title} does to the blobs of ${one.container}.'
      type: 'CustomRole'
      permissions: [
        {
          actions: []
          notActions: []
          dataActions: one.actions
          notDataActions: []
        }
      ]
      assignableScopes: [subscription().id]
    }
  }
]

@description('Role name to the id of its definition.')
output definitionIds ids = toObject(
  wanted,
  role => role.name,
  role =>
    subscriptionResourceId('Microsoft.Authorization/roleDefinitions', guid(subscription().id, namePrefix, role.name))
)

@description('Role name and container to the id of the definition that holds there.')
output dataDefinitionIds dataDefinition[] = map(blobs, one => {
  role: one.role
  container: one.container
  id: subscriptionResourceId(
    'Microsoft.Authorization/roleDefinitions',
    guid(subscription().id, namePrefix, one.role, one.container)
  )
  path: join(one.paths, '')
})
