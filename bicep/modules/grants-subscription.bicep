metadata name = 'Grants on the subscription'
metadata description = 'The roles on the subscription: reading, and optionally creating resource groups.'

targetScope = 'subscription'

import { grant, identity, ids } from '../types.bicep'

@description('Required. The id of each role definition, by the name of the role.')
param definitionIds ids

@description('Required. The people, groups and identities to grant roles to.')
param grants grant[]

@description('Required. The identities that were created, with their roles.')
param identities identity[]

// The operator reads the estate too, because it checks before each step. A principal with both roles gets one grant.
var readers = union(
  map(filter(grants, one => one.role == 'planner' || one.role == 'operator'), one => {
    principalId: one.principalId
    principalType: one.principalType
  }),
  []
)
var creators = filter(grants, one => one.role == 'group-creator' && contains(definitionIds, one.role))

resource reading 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for one in readers: {
    name: guid(subscription().id, one.principalId, 'planner')
    properties: {
      roleDefinitionId: definitionIds.planner
      principalId: one.principalId
      principalType: one.principalType
    }
  }
]

resource creating 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for one in creators: {
    name: guid(subscription().id, one.principalId, one.role)
    properties: {
      roleDefinitionId: definitionIds[one.role]
      principalId: one.principalId
      principalType: one.principalType
    }
  }
]

resource made 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for one in identities: if (one.role == 'planner' || one.role == 'operator') {
    name: guid(subscription().id, one.principalId, 'planner')
    properties: {
      roleDefinitionId: definitionIds.planner
      principalId: one.principalId
      principalType: 'ServicePrincipal'
    }
  }
]
