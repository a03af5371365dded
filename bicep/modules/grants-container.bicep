metadata name = 'Grants on a container'
metadata description = 'Grants of one role on one container of the store.'

import { dataDefinition, grant, identity } from '../types.bicep'

@description('Required. The name of the storage account.')
param accountName string

@description('Required. The role definition, and its container.')
param definition dataDefinition

@description('Required. The people, groups and identities to grant roles to.')
param grants grant[]

@description('Required. The identities that were created, with their roles.')
param identities identity[]

var blobType = 'Microsoft.Storage/storageAccounts/blobServices/containers/blobs'
var narrow = '((!(ActionMatches{\'${blobType}/write\'}) AND !(ActionMatches{\'${blobType}/add/action\'})) OR (@Resource[${blobType}:path] StringStartsWith \'${definition.path}\'))'
var condition = empty(definition.path) ? null : narrow
var conditionVersion = empty(definition.path) ? null : '2.0'
var given = filter(grants, one => one.role == definition.role)

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: accountName

  resource blobs 'blobServices' existing = {
    name: 'default'

    resource container 'containers' existing = {
      name: definition.container
    }
  }
}

resource assigned 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for one in given: {
    scope: account::blobs::container
    name: guid(account::blobs::container.id, one.principalId, one.role)
    properties: {
      roleDefinitionId: definition.id
      principalId: one.principalId
      principalType: one.principalType
      condition: condition
      conditionVersion: conditionVersion
    }
  }
]

resource made 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for one in identities: if (one.role == definition.role) {
    scope: account::blobs::container
    name: guid(account::blobs::container.id, one.principalId, one.role)
    properties: {
      roleDefinitionId: definition.id
      principalId: one.principalId
      principalType: 'ServicePrincipal'
      condition: condition
      conditionVersion: conditionVersion
    }
  }
]
