metadata name = 'Roles of drkit'
metadata description = 'Custom role definitions, from the file that drkit itself uses.'

targetScope = 'subscription'

import { dataDefinition, ids } from '../types.bicep'

@description('Required. The prefix of every name.')
param namePrefix string

@description('Required. Whether to create the role that may create resource groups.')
param withGroupCreator bool

@description('Required. Whether to create the role that lets the operator run commands on hosts.')
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

// A grant of data actions is for one container, so each role has a definition for each container.
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

@description('The id of each role definition, by the name of the role.')
output definitionIds ids = toObject(
  wanted,
  role => role.name,
  role =>
    subscriptionResourceId('Microsoft.Authorization/roleDefinitions', guid(subscription().id, namePrefix, role.name))
)

@description('The role definitions for single containers, with their roles and containers.')
output dataDefinitionIds dataDefinition[] = map(blobs, one => {
  role: one.role
  container: one.container
  id: subscriptionResourceId(
    'Microsoft.Authorization/roleDefinitions',
    guid(subscription().id, namePrefix, one.role, one.container)
  )
  path: join(one.paths, '')
})
